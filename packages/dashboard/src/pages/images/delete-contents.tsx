import type { DeletionPlan } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { CheckField } from '../../components/field.tsx'
import { bytes, plural, shortDigest } from '../../components/format.ts'
import { WarnIcon } from '../../components/icons.tsx'
import { Skeleton } from '../../components/page.tsx'
import { Scroller } from '../../components/scroller.tsx'
import { Tag } from '../../components/state.tsx'
import { useDeletionPreview, type Wanted } from './contents.ts'
import { purposeNames } from './marks.tsx'

/** Shows what would go before it goes. */
export function DeleteContentsDialog(props: {
  imageId: string
  name: string
  wanted: Wanted
  onClose: () => void
  onDone: () => void
}) {
  const { imageId, wanted, onClose } = props
  const client = useClient()
  const [cascade, setCascade] = useState(true)
  const preview = useDeletionPreview(imageId, wanted, cascade)
  const remove = useMutation({
    mutationFn: () => client.images.deletions({ params: { id: imageId }, body: { ...wanted, cascade } }),
    onSuccess: () => {
      onClose()
      props.onDone()
    },
  })
  const plan = preview.data
  const isRefused = plan === undefined || plan.refusals.length > 0
  return (
    <Dialog title={titleOf(props.name, wanted)} onClose={onClose} locked={remove.isPending} wide>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          if (!isRefused) remove.mutate()
        }}
      >
        <CheckField
          label="Also what nothing else needs then"
          hint="Manifests without a tag left, platforms of a deleted index, signatures and SBOMs of what goes"
          checked={cascade}
          onChange={setCascade}
        />
        <div className="flex min-h-44 flex-col gap-3" aria-busy={preview.isFetching}>
          {plan === undefined ? (
            preview.isPending && <Skeleton rows={4} />
          ) : (
            <Plan plan={plan} isStale={preview.isPlaceholderData} />
          )}
          <ErrorNote error={preview.error} onRetry={() => void preview.refetch()} />
        </div>
        <ErrorNote error={remove.error} />
        <DialogActions>
          <Button onClick={onClose} disabled={remove.isPending}>
            Cancel
          </Button>
          <Button type="submit" look="destructive" disabled={isRefused} busy={remove.isPending}>
            Delete
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function titleOf(name: string, { tags, manifests }: Wanted): string {
  const [tag] = tags
  const [digest] = manifests
  if (tags.length + manifests.length > 1) return `Delete ${tags.length + manifests.length} versions of ${name}?`
  return tag === undefined ? `Delete ${name}@${shortDigest(digest ?? '')}?` : `Delete ${name}:${tag}?`
}

function Plan({ plan, isStale }: { plan: DeletionPlan; isStale: boolean }) {
  return (
    <div className={`flex flex-col gap-3 ${isStale ? 'opacity-60' : ''}`}>
      {plan.refusals.length > 0 && (
        <div role="alert" className="flex gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm">
          <WarnIcon className="mt-0.5 text-warn" />
          <div className="flex min-w-0 flex-col gap-1">
            <p className="font-medium">Nothing can be deleted like this.</p>
            <ul className="flex flex-col gap-1 break-words">
              {plan.refusals.map(({ tag, digest, message }) => (
                <li key={`${tag} ${digest}`}>{message}</li>
              ))}
            </ul>
          </div>
        </div>
      )}
      <Rows
        title={`Goes: ${plural(plan.tags.length, 'tag')}, ${plural(plan.manifests.length, 'manifest')}`}
        isEmpty={plan.tags.length + plan.manifests.length === 0}
      >
        {plan.tags.map(({ tag, digest }) => (
          <Row key={tag} name={tag} digest={digest} mark="tag" />
        ))}
        {plan.manifests.map(({ digest, purpose, platforms, because }) => (
          <Row
            key={digest}
            name={shortDigest(digest)}
            digest={digest}
            mark={purposeNames[purpose]}
            note={[platforms.join(', '), reasons[because]].filter((part) => part !== '').join(' · ')}
          />
        ))}
      </Rows>
      {plan.leftBehind.length > 0 && (
        <Rows title={`Stays: ${plural(plan.leftBehind.length, 'manifest')}`}>
          {plan.leftBehind.map(({ digest, purpose, because, message }) => (
            <Row
              key={digest}
              name={shortDigest(digest)}
              digest={digest}
              mark={purposeNames[purpose]}
              note={message ?? reasons[because]}
            />
          ))}
        </Rows>
      )}
      {plan.refusals.length === 0 && (
        <p className="text-sm text-muted" role="status">
          Garbage collection then frees <span className="font-medium text-ink">{bytes(plan.freedBytes)}</span>.
        </p>
      )}
    </div>
  )
}

const reasons: Record<DeletionPlan['manifests'][number]['because'], string> = {
  asked: '',
  untagged: 'no tag names it then',
  child: 'only a deleted index needs it',
  referrer: 'refers to what goes',
}

function Rows({ title, isEmpty = false, children }: { title: string; isEmpty?: boolean; children: ReactNode }) {
  if (isEmpty) return null
  return (
    <section aria-label={title} className="flex flex-col gap-1.5">
      <h3 className="text-xs font-medium text-muted">{title}</h3>
      <Scroller label={`${title}, scrolls`} className="max-h-56 overflow-y-auto rounded-lg border border-line">
        <ul className="divide-y divide-line">{children}</ul>
      </Scroller>
    </section>
  )
}

function Row({ name, digest, mark, note = '' }: { name: string; digest: string; mark: string; note?: string }) {
  return (
    <li className="flex flex-wrap items-center gap-x-2 gap-y-0.5 px-3 py-2 text-sm" title={digest}>
      <Tag>{mark}</Tag>
      <code className="min-w-0 font-mono text-xs break-all">{name}</code>
      <span className="text-xs text-muted">{note}</span>
    </li>
  )
}
