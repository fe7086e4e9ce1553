import { useId } from 'react'

/** Chooses one file of this computer. */
export function FileField(props: {
  label: string
  hint: string
  accept?: string
  disabled?: boolean
  error?: string | undefined
  onChoose: (file: File | null) => void
}) {
  const id = useId()
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {props.label}
      </label>
      <input
        id={id}
        type="file"
        accept={props.accept}
        disabled={props.disabled}
        aria-describedby={`${id}-hint`}
        aria-invalid={props.error === undefined ? undefined : true}
        onChange={(event) => props.onChoose(event.target.files?.[0] ?? null)}
        className="w-full min-w-0 text-sm file:mr-3 file:h-8 file:rounded-md file:border file:border-line file:bg-surface file:px-3 file:text-sm file:font-medium file:text-ink"
      />
      <p id={`${id}-hint`} className="text-xs text-muted">
        {props.hint}
      </p>
      {props.error !== undefined && <p className="text-xs font-medium text-bad">{props.error}</p>}
    </div>
  )
}
