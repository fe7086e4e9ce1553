import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { type DraftProps, LinesField, SelectField } from '../../components/field.tsx'
import { labelsOf, linesOf } from '../devices/labels.ts'
import { type BuildDraft, groupOf } from './draft.ts'

/** A device belongs to a group by its labels, so choosing a group gives it those that the group selects. */
export function LabelsStep({ draft, set, fault }: DraftProps<BuildDraft>) {
  const mayReadGroups = useMay()('releases:read')
  const groups = useList('deviceGroups', { limit: wholePage }, { enabled: mayReadGroups })
  const labels = labelsOf(draft.labels)
  const group = groupOf(labels, groups.items)
  return (
    <>
      {groups.items.length > 0 && (
        <>
          <SelectField
            label="Device group"
            value={group?.id ?? ''}
            onChange={(id) => {
              const chosen = groups.items.find((one) => one.id === id)
              if (chosen !== undefined) set({ labels: linesOf({ ...labels, ...chosen.data.selector }) })
            }}
            choices={[
              ...(group === undefined ? [{ value: '', label: 'None' }] : []),
              ...groups.items.map(({ id, data }) => ({ value: id, label: data.name })),
            ]}
            hint="Choosing one adds the labels that it selects by."
          />
          <p role="status" className="text-sm text-muted">
            {group === undefined
              ? 'With these labels the device belongs to no group, and follows no channel.'
              : `With these labels the device belongs to ${group.data.name}.`}
          </p>
        </>
      )}
      <LinesField
        label="Labels of the device"
        hint="One a line: key=value. It has them from the moment it enrols; groups choose by them."
        value={draft.labels}
        onChange={(text) => set({ labels: text })}
        placeholder="site=berlin"
        error={fault('deviceLabels')}
      />
    </>
  )
}
