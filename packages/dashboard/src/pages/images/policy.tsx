import type { Image, imageData, Retention, RetentionReport } from '@freehold/contracts'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { z } from 'zod'
import { useClient } from '../../app/client.tsx'
import { mergeDiff } from '../../app/diff.ts'
import { contentsKey } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { CheckField, type DraftProps, FieldGroup, LinesField, SelectField, TextField } from '../../components/field.tsx'
import { bytes, plural, shortDigest } from '../../components/format.ts'
import { Card, Skeleton } from '../../components/page.tsx'
import { Scroller } from '../../components/scroller.tsx'
import { Tag } from '../../components/state.tsx'
import { applyPolicy, type PolicyDraft, policyDraftOf, retentionOf } from './policy-draft.ts'

const shownPaths = ['data.retention', 'data.quotaBytes', 'data.anonymousPull']
type Patch = { [Name in keyof z.input<typeof imageData>]?: never }

/** Which versions stay, how much there may be, and who may pull. Rules are tried before they are saved. */
export function Policy({ image }: { image: Image }) {
  const client = useClient()
  const [base, setBase] = useState(image)
  const [draft, setDraft] = useState(() => policyDraftOf(image.data))
  const [isTrying, setTrying] = useState(false)
  const patch = mergeDiff(base.data, applyPolicy(base.data, draft))
  const reset = (to: Image) => {
    setBase(to)
    setDraft(policyDraftOf(to.data))
  }
  const save = useMutation({
    mutationFn: (_: undefined) =>
      client.images.update({ params: { id: image.id }, body: { data: patch as Patch, version: image.version } }),
    onSuccess: (saved) => {
      setTrying(false)
      reset(saved)
    },
  })
  const retention = retentionOf(draft)
  const changesRules = mergeDiff({ rules: base.data.retention }, { rules: retention }) !== undefined
  return (
    <form
      className="max-w-3xl"
      onSubmit={(event) => {
        event.preventDefault()
        if (changesRules) setTrying(true)
        else save.mutate(undefined)
      }}
    >
      <Card>
        <Fields
          draft={draft}
          set={(change) => setDraft((before) => ({ ...before, ...change }))}
          fault={(path) => faultAt(save.error, path)}
        />
        {!isTrying && <ErrorNote error={save.error} shownPaths={shownPaths} />}
        <div className="flex flex-wrap items-center justify-end gap-2 border-t border-line pt-4">
          <span role="status" className="mr-auto text-sm text-muted">
            {patch === undefined ? (save.isSuccess ? 'Saved.' : 'Nothing changed.') : ''}
          </span>
          <Button onClick={() => setTrying(true)}>{changesRules ? 'Try these rules' : 'Show what would go now'}</Button>
          <Button disabled={patch === undefined} onClick={() => reset(image)}>
            Discard
          </Button>
          <Button type="submit" look="primary" disabled={patch === undefined} busy={save.isPending}>
            {changesRules ? 'Review and save' : 'Save'}
          </Button>
        </div>
      </Card>
      {isTrying && (
        <TryDialog
          image={image}
          retention={changesRules ? retention : undefined}
          isDefault={changesRules && retention === undefined}
          save={patch === undefined ? null : save}
          onClose={() => setTrying(false)}
        />
      )}
    </form>
  )
}

function Fields({ draft, set, fault }: DraftProps<PolicyDraft>) {
  return (
    <>
      <FieldGroup title="Retention">
        <SelectField
          label="Which versions stay"
          value={draft.source}
          onChange={(source) => set({ source: source as PolicyDraft['source'] })}
          choices={[
            { value: 'default', label: "As the server's default says" },
            { value: 'everything', label: 'All of them' },
            { value: 'rules', label: 'Those that one of these rules keeps' },
          ]}
          hint="What a service runs, or may go back to, and what a release has, stays in any case."
        />
        {draft.source === 'rules' && (
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField
              label="Keep the last tags"
              inputMode="numeric"
              value={draft.keepLastTags}
              onChange={(keepLastTags) => set({ keepLastTags })}
              placeholder="10"
              hint="So many, those pushed last"
              error={fault('data.retention.keepLastTags')}
            />
            <TextField
              label="Keep tags younger than, days"
              inputMode="numeric"
              value={draft.keepYoungerThanDays}
              onChange={(keepYoungerThanDays) => set({ keepYoungerThanDays })}
              placeholder="30"
              error={fault('data.retention.keepYoungerThanDays')}
            />
            <LinesField
              label="Keep tags that fit"
              value={draft.keepTags}
              onChange={(keepTags) => set({ keepTags })}
              hint="One pattern a line, such as v*; * is any text, ? any one character"
              error={fault('data.retention.keepTags')}
            />
            <TextField
              label="Delete untagged after, days"
              inputMode="numeric"
              value={draft.deleteUntaggedAfterDays}
              onChange={(deleteUntaggedAfterDays) => set({ deleteUntaggedAfterDays })}
              placeholder="never"
              hint="Manifests that no tag, index, service or release needs"
              error={fault('data.retention.deleteUntaggedAfterDays')}
            />
          </div>
        )}
      </FieldGroup>
      <FieldGroup title="Quota">
        <TextField
          label="Most it may hold, GiB"
          inputMode="decimal"
          className="sm:max-w-48"
          value={draft.quotaGibibytes}
          onChange={(quotaGibibytes) => set({ quotaGibibytes })}
          placeholder="no limit"
          hint="A push beyond it is refused"
          error={fault('data.quotaBytes')}
        />
      </FieldGroup>
      <FieldGroup title="Access">
        <CheckField
          label="Anybody may pull it without signing in"
          checked={draft.anonymousPull}
          onChange={(anonymousPull) => set({ anonymousPull })}
        />
      </FieldGroup>
    </>
  )
}

/** The dry run, and where something changed the button that saves. */
function TryDialog(props: {
  image: Image
  /** Rules that are not saved yet; undefined tries those that hold. */
  retention: Retention | undefined
  /** The rules are taken away; the server's default cannot be tried before it holds. */
  isDefault: boolean
  save: { mutate: (input: undefined) => void; isPending: boolean; error: unknown } | null
  onClose: () => void
}) {
  const { image, retention, save, onClose } = props
  const client = useClient()
  const report = useQuery({
    queryKey: [...contentsKey, 'retention', image.id, retention ?? null],
    gcTime: 0,
    enabled: !props.isDefault,
    queryFn: ({ signal }) =>
      client.images.previewRetention({
        params: { id: image.id },
        body: retention === undefined ? {} : { retention },
        signal,
      }),
  })
  return (
    <Dialog
      title={save === null ? 'What would go now' : 'Save these rules?'}
      onClose={onClose}
      locked={save?.isPending === true}
      wide
    >
      <div className="flex min-h-44 flex-col gap-3">
        {props.isDefault ? (
          <p className="text-muted">The image then follows the server's default, from the next regular pass on.</p>
        ) : (
          <>
            {report.isPending && <Skeleton rows={4} />}
            {report.data !== undefined && <Report report={report.data} />}
            <ErrorNote error={report.error} onRetry={() => void report.refetch()} />
          </>
        )}
      </div>
      {save !== null && <ErrorNote error={save.error} />}
      <DialogActions>
        <Button onClick={onClose} disabled={save?.isPending === true}>
          {save === null ? 'Close' : 'Cancel'}
        </Button>
        {save !== null && (
          <Button
            look={(report.data?.tags.delete ?? 0) > 0 ? 'destructive' : 'primary'}
            busy={save.isPending}
            disabled={!props.isDefault && report.data === undefined}
            onClick={() => save.mutate(undefined)}
          >
            Save
          </Button>
        )}
      </DialogActions>
    </Dialog>
  )
}

function Report({ report }: { report: RetentionReport }) {
  const going = report.tags.delete + report.manifests.delete
  return (
    <>
      <p className="text-sm" role="status">
        {going === 0 ? (
          <>
            Nothing would go now: {plural(report.tags.keep, 'tag')} and {plural(report.manifests.keep, 'manifest')}{' '}
            stay.
          </>
        ) : (
          <>
            <span className="font-medium">
              {plural(report.tags.delete, 'tag')} and {plural(report.manifests.delete, 'manifest')} would go
            </span>
            , {plural(report.tags.keep, 'tag')} and {plural(report.manifests.keep, 'manifest')} stay. That releases{' '}
            {bytes(report.releasedBytes)}.
          </>
        )}
      </p>
      {report.steps.length > 0 && (
        <Scroller label="Dry run, scrolls" className="max-h-72 overflow-y-auto rounded-lg border border-line">
          <ul className="divide-y divide-line">
            {report.steps.slice(0, 200).map((step) => (
              <li
                key={`${step.kind} ${step.tag ?? step.digest}`}
                className="flex flex-wrap items-center gap-x-2 gap-y-0.5 px-3 py-2 text-sm"
              >
                <Tag tone={step.action === 'delete' ? 'bad' : 'good'}>
                  {step.action === 'delete' ? 'goes' : 'stays'}
                </Tag>
                <code className="font-mono text-xs break-all" title={step.digest}>
                  {step.tag ?? shortDigest(step.digest)}
                </code>
                <span className="text-xs text-muted">{step.reason}</span>
              </li>
            ))}
          </ul>
        </Scroller>
      )}
      {(report.truncated || report.steps.length > 200) && (
        <p className="text-xs text-muted">There is more than is shown here; the numbers count it all.</p>
      )}
    </>
  )
}
