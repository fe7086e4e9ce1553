import type { ReactNode } from 'react'
import { useOne } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { type DraftProps, FieldGroup, SelectField, TextField } from '../../components/field.tsx'
import { Tag } from '../../components/state.tsx'
import { labelsOf } from '../devices/labels.ts'
import { deviceName } from './device-step.tsx'
import type { BuildDraft } from './draft.ts'
import { type BuildStep, stepWords } from './steps.ts'

/** Everything that was chosen, each with the way back to it, and what few people change. */
export function ReviewStep({ draft, set, fault, onGo }: DraftProps<BuildDraft> & { onGo: (step: BuildStep) => void }) {
  const base = useOne('baseImages', draft.baseImageId === '' ? undefined : draft.baseImageId)
  const labels = Object.entries(labelsOf(draft.labels))
  const rows: [BuildStep, ReactNode][] = [
    ['device', deviceName(draft)],
    ['base', draft.baseImageId === '' ? `Ubuntu ${draft.ubuntuVersion}, from Ubuntu` : (base.data?.data.name ?? '…')],
    [
      'network',
      [
        draft.hostname.trim() === '' ? 'Hostname made from the build' : draft.hostname.trim(),
        draft.hasWifi
          ? `Wi-Fi ${draft.ssid}${draft.isOpen ? ', open' : ''}${draft.isHidden ? ', hidden' : ''}`
          : 'cable',
      ].join(' · '),
    ],
    ['access', draft.sshPublicKey.trim() === '' ? 'Nobody signs in by SSH' : keyName(draft.sshPublicKey)],
    [
      'labels',
      labels.length === 0 ? (
        'None'
      ) : (
        <span key="labels" className="flex flex-wrap gap-1">
          {labels.map(([key, value]) => (
            <Tag key={key}>{`${key}=${value}`}</Tag>
          ))}
        </span>
      ),
    ],
  ]
  return (
    <>
      <dl className="divide-y divide-line rounded-lg border border-line">
        {rows.map(([step, value]) => (
          <div key={step} className="flex items-center gap-3 px-3 py-2">
            <div className="min-w-0 flex-1 sm:flex sm:gap-3">
              <dt className="text-sm text-muted sm:w-36 sm:shrink-0">{stepWords[step]}</dt>
              <dd className="min-w-0 text-sm [overflow-wrap:anywhere]">{value}</dd>
            </div>
            <Button look="quiet" aria-label={`Change ${stepWords[step].toLowerCase()}`} onClick={() => onGo(step)}>
              Change
            </Button>
          </div>
        ))}
      </dl>
      <FieldGroup title="The image">
        <div className="grid gap-3 sm:grid-cols-2">
          {draft.imageKind === 'balena-raw' && (
            <SelectField
              label="Compression"
              value={draft.compression}
              onChange={(compression) => set({ compression: compression as typeof draft.compression })}
              choices={[
                { value: 'xz', label: 'xz: smallest' },
                { value: 'zst', label: 'zst: much faster, a fifth larger' },
                { value: 'none', label: 'none: written as it is' },
              ]}
              error={fault('compression')}
            />
          )}
          <TextField
            label="The device must enrol within"
            type="number"
            min={1}
            max={366}
            value={draft.tokenDays}
            onChange={(tokenDays) => set({ tokenDays })}
            hint="Days; its token is refused after that."
            error={fault('tokenExpiresInSeconds')}
          />
          <TextField
            label="The image is kept for"
            type="number"
            min={1}
            max={366}
            value={draft.keepForDays}
            onChange={(keepForDays) => set({ keepForDays })}
            hint="Days; the record stays."
            error={fault('keepForDays')}
          />
        </div>
      </FieldGroup>
    </>
  )
}

/** The type of a key and whose it is; the key itself is long. */
function keyName(publicKey: string): string {
  const [type = '', , ...comment] = publicKey.trim().split(/\s+/)
  return comment.length === 0 ? type : `${type}, ${comment.join(' ')}`
}
