import { useRef } from 'react'
import { Button, IconButton } from '../../components/button.tsx'
import { type DraftProps, FieldGroup, inputClass } from '../../components/field.tsx'
import { CloseIcon, PlusIcon } from '../../components/icons.tsx'
import { type Draft, parseEnvironment } from './draft.ts'

/** Names and values; pasting `NAME=value` lines into a name fills as many rows. */
export function EnvironmentFields({ draft, set, fault }: DraftProps<Draft>) {
  const rows = draft.environment
  const nextKey = useRef(rows.length)
  const addedKey = useRef(-1)
  const change = (key: number, part: { name?: string; value?: string }) =>
    set({ environment: rows.map((row) => (row.key === key ? { ...row, ...part } : row)) })
  const append = (added: { name: string; value: string }[], replacing?: number) => {
    const made = added.map((row) => {
      nextKey.current += 1
      return { ...row, key: nextKey.current }
    })
    addedKey.current = nextKey.current
    set({ environment: [...rows.filter(({ key }) => key !== replacing), ...made] })
  }
  const error = fault('data.environment')
  return (
    <FieldGroup title="Environment">
      {rows.map((row) => (
        <div key={row.key} className="flex gap-2 max-sm:flex-wrap">
          <input
            // biome-ignore lint/a11y/noAutofocus: who adds a variable types its name next.
            autoFocus={row.key === addedKey.current}
            aria-label="Variable name"
            placeholder="NAME"
            value={row.name}
            spellCheck={false}
            autoComplete="off"
            onChange={(event) => change(row.key, { name: event.target.value })}
            onPaste={(event) => {
              const pasted = parseEnvironment(event.clipboardData.getData('text'))
              if (pasted.length === 0 || row.name !== '') return
              event.preventDefault()
              append(pasted, row.key)
            }}
            className={`${inputClass} font-mono text-xs! sm:max-w-64`}
          />
          <input
            aria-label={row.name === '' ? 'Variable value' : `Value of ${row.name}`}
            placeholder="value"
            value={row.value}
            spellCheck={false}
            autoComplete="off"
            onChange={(event) => change(row.key, { value: event.target.value })}
            className={`${inputClass} flex-1 font-mono text-xs!`}
          />
          <IconButton
            label={row.name === '' ? 'Remove variable' : `Remove ${row.name}`}
            onClick={() => set({ environment: rows.filter(({ key }) => key !== row.key) })}
          >
            <CloseIcon />
          </IconButton>
        </div>
      ))}
      {error !== undefined && <p className="text-xs font-medium text-bad">{error}</p>}
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => append([{ name: '', value: '' }])}>
          <PlusIcon />
          Add variable
        </Button>
        <span className="text-xs text-muted">NAME=value lines may be pasted into an empty name.</span>
      </div>
    </FieldGroup>
  )
}
