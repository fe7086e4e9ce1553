import { type ReactNode, useId } from 'react'

export interface RadioCard {
  value: string
  label: string
  hint?: ReactNode
  disabled?: boolean
}

/** One of a few, each with a line that says what it is; arrow keys move among them. */
export function RadioCards(props: {
  legend: string
  value: string
  onChange: (value: string) => void
  choices: readonly RadioCard[]
  error?: string | undefined
}) {
  const id = useId()
  return (
    <fieldset
      className="flex min-w-0 flex-col gap-2"
      aria-describedby={props.error === undefined ? undefined : `${id}-error`}
    >
      <legend className="mb-2 text-sm font-medium">{props.legend}</legend>
      {props.choices.map(({ value, label, hint, disabled = false }) => (
        <label
          key={value}
          className="flex items-start gap-3 rounded-lg border border-line px-3 py-2.5 has-checked:border-accent has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent has-disabled:opacity-60 has-enabled:hover:border-line-strong"
        >
          <input
            type="radio"
            name={id}
            value={value}
            checked={props.value === value}
            disabled={disabled}
            aria-describedby={hint === undefined ? undefined : `${id}-${value}`}
            aria-label={label}
            onChange={() => props.onChange(value)}
            className="mt-0.5 size-4 shrink-0 accent-accent outline-none"
          />
          <span className="flex min-w-0 flex-col">
            <span className="text-sm font-medium [overflow-wrap:anywhere]">{label}</span>
            {hint !== undefined && (
              <span id={`${id}-${value}`} className="text-xs text-muted [overflow-wrap:anywhere]">
                {hint}
              </span>
            )}
          </span>
        </label>
      ))}
      {props.error !== undefined && (
        <p id={`${id}-error`} className="text-xs font-medium text-bad">
          {props.error}
        </p>
      )}
    </fieldset>
  )
}
