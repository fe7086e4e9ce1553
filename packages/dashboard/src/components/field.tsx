import { type InputHTMLAttributes, type ReactNode, type Ref, useId } from 'react'
import { WarnIcon } from './icons.tsx'

export const inputClass =
  'h-8 w-full min-w-0 rounded-md border border-line-strong bg-surface px-2.5 text-sm text-ink placeholder:text-muted disabled:opacity-60 aria-invalid:border-bad max-sm:h-10 max-sm:text-lg'

/** What a part of a form is given: what is typed, its change, and what is wrong with a field by its path in the contract. */
export interface DraftProps<Draft> {
  draft: Draft
  set: (change: Partial<Draft>) => void
  fault: (path: string) => string | undefined
}

interface Common {
  label: string
  hint?: ReactNode
  error?: string | undefined
}

function Wrapped(props: Common & { id: string; children: ReactNode }) {
  const { id, label, hint, error } = props
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      {props.children}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} className="text-xs font-medium text-bad">
          {error}
        </p>
      )}
    </div>
  )
}

function describedBy(id: string, { hint, error }: Common) {
  const ids = [hint === undefined ? '' : `${id}-hint`, error === undefined ? '' : `${id}-error`].filter(Boolean)
  return { 'aria-describedby': ids.join(' ') || undefined, 'aria-invalid': error === undefined ? undefined : true }
}

type TextProps = Common &
  Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'value'> & {
    value: string
    onChange: (value: string) => void
    ref?: Ref<HTMLInputElement>
  }

export function TextField({ label, hint, error, onChange, className, ...rest }: TextProps) {
  const id = useId()
  return (
    <Wrapped id={id} label={label} hint={hint} error={error}>
      <input
        id={id}
        type="text"
        {...rest}
        {...describedBy(id, { label, hint, error })}
        onChange={(event) => onChange(event.target.value)}
        className={`${inputClass} ${className ?? ''}`}
      />
    </Wrapped>
  )
}

export interface Choice {
  value: string
  label: string
}

export function SelectField(
  props: Common & { value: string; onChange: (value: string) => void; choices: readonly Choice[]; disabled?: boolean },
) {
  const id = useId()
  return (
    <Wrapped {...props} id={id}>
      <select
        id={id}
        value={props.value}
        disabled={props.disabled}
        {...describedBy(id, props)}
        onChange={(event) => props.onChange(event.target.value)}
        className={inputClass}
      >
        {props.choices.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </Wrapped>
  )
}

export function CheckField(props: Omit<Common, 'error'> & { checked: boolean; onChange: (checked: boolean) => void }) {
  const id = useId()
  return (
    <div className="flex items-start gap-2">
      <input
        id={id}
        type="checkbox"
        checked={props.checked}
        aria-describedby={props.hint === undefined ? undefined : `${id}-hint`}
        onChange={(event) => props.onChange(event.target.checked)}
        className="mt-0.5 size-4 accent-accent"
      />
      <div className="flex flex-col">
        <label htmlFor={id} className="text-sm font-medium">
          {props.label}
        </label>
        {props.hint !== undefined && (
          <p id={`${id}-hint`} className="text-xs text-muted">
            {props.hint}
          </p>
        )}
      </div>
    </div>
  )
}

/** A text of several lines, such as an argument array with one argument a line. */
export function LinesField(props: Common & { value: string; onChange: (value: string) => void; placeholder?: string }) {
  const id = useId()
  return (
    <Wrapped {...props} id={id}>
      <textarea
        id={id}
        rows={Math.min(8, props.value.split('\n').length + 1)}
        value={props.value}
        spellCheck={false}
        placeholder={props.placeholder}
        {...describedBy(id, props)}
        onChange={(event) => props.onChange(event.target.value)}
        className={`${inputClass} h-auto! py-1.5 font-mono text-xs!`}
      />
    </Wrapped>
  )
}

/** A text with suggestions; any other text is as good. */
export function SuggestField({ suggestions, ...rest }: TextProps & { suggestions: readonly string[] }) {
  const id = useId()
  return (
    <>
      <TextField {...rest} list={id} autoComplete="off" spellCheck={false} autoCapitalize="none" />
      <datalist id={id}>
        {suggestions.map((text) => (
          <option key={text} value={text} />
        ))}
      </datalist>
    </>
  )
}

/** Fields that belong together, under a heading of their own. */
export function FieldGroup({ title, children }: { title: string; children: ReactNode }) {
  return (
    <fieldset className="flex min-w-0 flex-col gap-3 border-t border-line pt-4 first:border-0 first:pt-0">
      <legend className="float-left mb-3 w-full text-sm font-semibold">{title}</legend>
      {children}
    </fieldset>
  )
}

/** What will not go as it is about to be saved; empty where there is nothing to say. Read out when it appears. */
export function Warning({ children }: { children: string | undefined }) {
  return (
    <div role="status" className={children === undefined ? 'sr-only' : ''}>
      {children !== undefined && (
        <p className="flex gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm">
          <WarnIcon className="mt-0.5 text-warn" />
          <span className="min-w-0">{children}</span>
        </p>
      )}
    </div>
  )
}
