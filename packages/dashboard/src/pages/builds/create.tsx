import { ApiError } from '@freehold/client'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { Card, Empty, Page, Skeleton } from '../../components/page.tsx'
import { AccessStep } from './access-step.tsx'
import { AddBaseImageDialog } from './add-base-image.tsx'
import { BaseStep } from './base-step.tsx'
import { DeviceStep } from './device-step.tsx'
import { type BuildDraft, draftOf, emptyDraft, faultsOf, firstFaulty, inputOf, stepOfPath } from './draft.ts'
import { LabelsStep } from './labels-step.tsx'
import { NetworkStep } from './network-step.tsx'
import { ReviewStep } from './review-step.tsx'
import { StepList } from './step-list.tsx'
import { type BuildStep, buildSteps, stepWords } from './steps.ts'

const route = getRouteApi('/shell/builds/new')

/** Builds an image, step by step; asked for another build, it begins with what that one was given. */
export function CreateBuildPage() {
  const { from, base } = route.useSearch()
  const may = useMay()
  const before = useOne('builds', from)
  const asked = useOne('baseImages', base)
  const isReading = (from !== undefined && before.isPending) || (base !== undefined && asked.isPending)
  return (
    <Page
      title="Build image"
      parent={{ to: '/builds', label: 'Builds' }}
      lead={<p>The image holds a token for one device, with which it enrols when it first starts.</p>}
    >
      {!may('builds:write') ? (
        <Empty title="Your role may not build images.">Ask an administrator for a role that may.</Empty>
      ) : isReading ? (
        <Skeleton rows={6} />
      ) : (
        <Wizard
          start={{
            ...(before.data ? draftOf(before.data) : emptyDraft),
            ...(asked.data
              ? {
                  imageKind: asked.data.data.imageKind,
                  architecture: asked.data.data.architecture,
                  baseImageId: asked.data.id,
                }
              : {}),
          }}
        />
      )}
    </Page>
  )
}

function Wizard({ start }: { start: BuildDraft }) {
  const client = useClient()
  const navigate = route.useNavigate()
  const search = route.useSearch()
  const [draft, setDraft] = useState(start)
  const [checked, setChecked] = useState<ReadonlySet<BuildStep>>(new Set())
  const [isAddingBase, setAddingBase] = useState(false)
  const faults = faultsOf(draft)
  const reachable = firstFaulty(Object.keys(faults)) ?? 'review'
  const wanted = search.step ?? 'device'
  const step = buildSteps.indexOf(wanted) > buildSteps.indexOf(reachable) ? reachable : wanted
  const index = buildSteps.indexOf(step)
  const headingRef = useStepFocus(step)
  const go = (to: BuildStep | undefined) => {
    if (to !== undefined) void navigate({ search: (before) => ({ ...before, step: to }) })
  }
  const create = useMutation({
    mutationFn: () => client.builds.create({ body: { data: inputOf(draft) } }),
    onSuccess: ({ id }) => void navigate({ to: '/builds/$id', params: { id } }),
    onError: (error) => {
      const paths = error instanceof ApiError ? error.details.map(({ path }) => path.replace(/^data\./, '')) : []
      go(firstFaulty(paths))
    },
  })
  const set = (change: Partial<BuildDraft>) => setDraft((before) => ({ ...before, ...change }))
  const fault = (path: string) =>
    (checked.has(stepOfPath(path)) ? faults[path] : undefined) ?? faultAt(create.error, `data.${path}`)
  const next = () => {
    setChecked(new Set([...checked, step]))
    if (Object.keys(faults).some((path) => stepOfPath(path) === step)) return
    if (step === 'review') create.mutate()
    else go(buildSteps[index + 1])
  }
  const props = { draft, set, fault }
  // The dialog has a form of its own, so it stands beside this one.
  return (
    <>
      <form
        className="flex max-w-3xl flex-col gap-5"
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          next()
        }}
      >
        <StepList step={step} reachable={reachable} onGo={go} />
        <Card>
          <h2 ref={headingRef} tabIndex={-1} className="text-lg font-semibold outline-none">
            {stepWords[step]}
          </h2>
          {step === 'device' && <DeviceStep {...props} />}
          {step === 'base' && <BaseStep {...props} onAdd={() => setAddingBase(true)} />}
          {step === 'network' && <NetworkStep {...props} />}
          {step === 'access' && <AccessStep {...props} />}
          {step === 'labels' && <LabelsStep {...props} />}
          {step === 'review' && <ReviewStep {...props} onGo={go} />}
          <ErrorNote error={create.error} shownPaths={pathsOfFields} />
          <div className="flex flex-wrap justify-end gap-2">
            {index === 0 ? (
              <ButtonLink to="/builds">Cancel</ButtonLink>
            ) : (
              <Button onClick={() => go(buildSteps[index - 1])} disabled={create.isPending}>
                Back
              </Button>
            )}
            <Button type="submit" look="primary" busy={create.isPending}>
              {step === 'review' ? 'Build image' : 'Next'}
            </Button>
          </div>
        </Card>
      </form>
      {isAddingBase && (
        <AddBaseImageDialog
          fixed={{ imageKind: draft.imageKind, architecture: draft.architecture }}
          onClose={() => setAddingBase(false)}
          onAdded={(id) => set({ baseImageId: id })}
        />
      )}
    </>
  )
}

const pathsOfFields = [
  ...['baseImageId', 'ubuntuVersion', 'hostname', 'wifi', 'sshUser', 'sshPublicKey', 'deviceLabels'],
  ...['compression', 'tokenExpiresInSeconds', 'keepForDays'],
].map((name) => `data.${name}`)

/** Another step begins at its heading, for the keyboard and for screen readers; the first one where the page begins. */
function useStepFocus(step: BuildStep) {
  const ref = useRef<HTMLHeadingElement>(null)
  const shown = useRef(step)
  useEffect(() => {
    if (shown.current === step) return
    shown.current = step
    ref.current?.focus()
  }, [step])
  return ref
}
