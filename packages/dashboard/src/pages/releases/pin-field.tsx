import type { ReleaseType } from '@freehold/contracts'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { SelectField } from '../../components/field.tsx'
import { nameOfRelease } from './names.tsx'

/** Signed releases of a type, the 500 that changed last first, what is chosen already, and none of them. */
export function ReleaseField(props: {
  label: string
  type: ReleaseType
  /** The id; empty: none. */
  value: string
  onChange: (value: string) => void
  none: string
  hint?: string
  error?: string | undefined
}) {
  const { type, none, value, ...rest } = props
  const signed = useList('releases', { type, state: 'signed', order: 'changed', limit: wholePage }).items
  const chosen = useOne('releases', value === '' ? null : value).data
  const isMissing = chosen && !signed.some(({ id }) => id === value)
  const choices = [...(isMissing ? [chosen] : []), ...signed].map((release) => ({
    value: release.id,
    label: nameOfRelease(release),
  }))
  return <SelectField {...rest} value={value} choices={[{ value: '', label: none }, ...choices]} />
}

/** What a device, or each of a group, runs whatever channels say. */
export function PinFields(props: {
  app: string
  host: string
  onChange: (change: { app?: string; host?: string }) => void
  none: string
}) {
  return (
    <div className="grid gap-4 sm:grid-cols-2">
      <ReleaseField
        label="Pinned application"
        type="app"
        none={props.none}
        value={props.app}
        onChange={(app) => props.onChange({ app })}
      />
      <ReleaseField
        label="Pinned host system"
        type="host"
        none={props.none}
        value={props.host}
        onChange={(host) => props.onChange({ host })}
      />
    </div>
  )
}
