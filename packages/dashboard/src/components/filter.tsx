import { inputClass } from './field.tsx'

/** Narrows a list; nothing chosen is all of it. */
export function Filter(props: {
  label: string
  all: string
  value: string | undefined
  choices: { value: string; label: string }[]
  onChange: (value: string | undefined) => void
}) {
  return (
    <select
      aria-label={props.label}
      value={props.value ?? ''}
      onChange={(event) => props.onChange(event.target.value === '' ? undefined : event.target.value)}
      className={`${inputClass} w-auto! max-sm:flex-1 max-sm:basis-40`}
    >
      <option value="">{props.all}</option>
      {props.choices.map(({ value, label }) => (
        <option key={value} value={value}>
          {label}
        </option>
      ))}
    </select>
  )
}
