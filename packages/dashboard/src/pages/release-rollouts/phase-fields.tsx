import type { DeviceGroup } from '@freehold/contracts'
import { IconButton } from '../../components/button.tsx'
import { CheckField, SelectField, TextField } from '../../components/field.tsx'
import { plural } from '../../components/format.ts'
import { TrashIcon } from '../../components/icons.tsx'
import type { PhaseDraft } from './phase-draft.ts'

/** One phase of a rollout, and how many devices it would have. */
export function PhaseFields(props: {
  index: number
  phase: PhaseDraft
  isLast: boolean
  groups: readonly DeviceGroup[]
  /** Null while nobody knows. */
  devices: number | null
  set: (change: Partial<PhaseDraft>) => void
  fault: (path: string) => string | undefined
  onRemove: (() => void) | null
}) {
  const { index, phase, isLast, groups, devices, set, onRemove } = props
  const fault = (name: string) => props.fault(`data.phases.${index}.${name}`)
  const title = `Phase ${index + 1}`
  const by = isLast ? 'rest' : phase.by
  return (
    <fieldset className="flex min-w-0 flex-col gap-3 rounded-lg border border-line p-4 pt-3">
      <legend className="float-left flex min-h-8 w-full items-center justify-between gap-2 text-sm font-semibold">
        <span>
          {title}
          {devices !== null && <span className="font-normal text-muted"> · {plural(devices, 'device')}</span>}
        </span>
        {onRemove !== null && (
          <IconButton label={`Remove phase ${index + 1}`} onClick={onRemove}>
            <TrashIcon />
          </IconButton>
        )}
      </legend>
      <div className="grid gap-3 sm:grid-cols-2">
        {isLast ? (
          <p className="self-center text-sm text-muted">The last phase takes all devices that are left.</p>
        ) : (
          <div className="grid grid-cols-[1fr_6rem] gap-2">
            <SelectField
              label="Adds"
              value={by}
              onChange={(value) => set({ by: value as PhaseDraft['by'] })}
              choices={[
                { value: 'percent', label: 'percent of all' },
                { value: 'count', label: 'so many devices' },
                { value: 'rest', label: 'all that are left' },
              ]}
            />
            {by !== 'rest' && (
              <TextField
                label={by === 'percent' ? 'Percent' : 'Devices'}
                type="number"
                min={by === 'percent' ? 0 : 1}
                max={by === 'percent' ? 100 : undefined}
                step={by === 'percent' ? 'any' : 1}
                required
                value={phase.amount}
                onChange={(amount) => set({ amount })}
                error={fault(by)}
              />
            )}
          </div>
        )}
        {groups.length > 1 && !isLast && (
          <SelectField
            label="Of the group"
            value={phase.groupId}
            onChange={(groupId) => set({ groupId })}
            choices={[{ value: '', label: 'Any' }, ...groups.map(({ id, data }) => ({ value: id, label: data.name }))]}
            error={fault('groupId')}
          />
        )}
      </div>
      <div className="grid grid-cols-[repeat(auto-fit,minmax(9rem,1fr))] gap-3">
        <TextField
          label={isLast ? 'Done at' : 'Next opens at'}
          type="number"
          min={0}
          max={100}
          step="any"
          required
          value={phase.successPercent}
          onChange={(successPercent) => set({ successPercent })}
          hint="% of it succeeded"
          error={fault('successPercent')}
        />
        <TextField
          label="Stops above"
          type="number"
          min={0}
          max={100}
          step="any"
          required
          value={phase.errorPercent}
          onChange={(errorPercent) => set({ errorPercent })}
          hint="% of it failed"
          error={fault('errorPercent')}
        />
        <TextField
          label="Then watched for"
          type="number"
          min={0}
          max={43_200}
          required
          value={phase.soakMinutes}
          onChange={(soakMinutes) => set({ soakMinutes })}
          hint="minutes"
          error={fault('soakMinutes')}
        />
      </div>
      <CheckField
        label="Needs approval"
        hint="An operator must open this phase."
        checked={phase.approval}
        onChange={(approval) => set({ approval })}
      />
    </fieldset>
  )
}
