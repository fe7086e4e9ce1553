import type { BaseImage } from '@freehold/contracts'
import { useList, wholePage } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { type DraftProps, TextField } from '../../components/field.tsx'
import { bytes } from '../../components/format.ts'
import { PlusIcon } from '../../components/icons.tsx'
import { Skeleton } from '../../components/page.tsx'
import { type RadioCard, RadioCards } from '../../components/radio-cards.tsx'
import type { BuildDraft } from './draft.ts'
import { targetOf } from './words.ts'

/** Ubuntu's own, one that is there, or one that is added now. */
export function BaseStep({ draft, set, fault, onAdd }: DraftProps<BuildDraft> & { onAdd: () => void }) {
  const { imageKind, architecture, baseImageId } = draft
  const bases = useList('baseImages', { imageKind, architecture, limit: wholePage })
  const isUbuntu = imageKind === 'ubuntu-iso'
  const choices: RadioCard[] = [
    ...(isUbuntu ? [{ value: '', label: 'Ubuntu’s own', hint: 'The worker fetches the installer from Ubuntu.' }] : []),
    ...bases.items.map((base) => ({
      value: base.id,
      label: base.data.name,
      hint: hintOf(base),
      disabled: base.status.state !== 'ready',
    })),
  ]
  return (
    <>
      <ErrorNote error={bases.error} />
      {bases.isPending ? (
        <Skeleton rows={2} />
      ) : choices.length > 0 ? (
        <RadioCards
          legend="What the image is made from"
          value={baseImageId}
          onChange={(id) => set({ baseImageId: id })}
          choices={choices}
          error={fault('baseImageId')}
        />
      ) : (
        <div className="flex flex-col gap-1">
          <p className="text-sm text-muted">
            There is no base image yet: {targetOf(draft)}. Add the one that the maker of the system publishes.
          </p>
          {fault('baseImageId') !== undefined && (
            <p role="alert" className="text-xs font-medium text-bad">
              {fault('baseImageId')}
            </p>
          )}
        </div>
      )}
      {isUbuntu && baseImageId === '' && (
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField
            label="Version of Ubuntu"
            value={draft.ubuntuVersion}
            onChange={(ubuntuVersion) => set({ ubuntuVersion })}
            spellCheck={false}
            autoComplete="off"
            hint="The newest of it is taken, such as 24.04."
            error={fault('ubuntuVersion')}
          />
        </div>
      )}
      <div>
        <Button onClick={onAdd}>
          <PlusIcon />
          Add base image
        </Button>
      </div>
    </>
  )
}

function hintOf({ data, status }: BaseImage): string {
  const what = status.state === 'uploading' ? 'Its upload is not finished.' : data.description
  const size = status.blob === null ? '' : bytes(status.blob.sizeBytes)
  return [what, size, data.url ?? ''].filter((part) => part !== '').join(' · ')
}
