import { ApiError } from '@freehold/client'
import type { Service } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { useClient } from '../../app/client.tsx'
import { useIdentity, useMay } from '../../app/session.ts'
import { Command } from '../../components/copy.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { Quiet, Section, Skeleton } from '../../components/page.tsx'

/** The commands that bring an image of one's own here. */
export function HowToPush({ service }: { service: Service }) {
  const client = useClient()
  const may = useMay()
  const { data: identity } = useIdentity()
  const target = useQuery({
    queryKey: ['registry-target', service.id, service.data.name, service.data.imageVersion],
    queryFn: ({ signal }) => client.services.registryTarget({ params: { id: service.id }, signal }),
  })
  if (target.error instanceof ApiError && target.error.code === 'conflict') {
    return (
      <Section title="How to push" flush>
        <Quiet>{target.error.message}</Quiet>
      </Section>
    )
  }
  if (target.isError) return <ErrorNote error={target.error} onRetry={() => void target.refetch()} />
  return (
    <Section
      title="How to push"
      lead={
        service.data.deployOnPush
          ? 'It is deployed as soon as the push is done.'
          : 'Deploying on push is off: press Deploy when the push is done.'
      }
    >
      {target.data === undefined ? (
        <Skeleton rows={2} />
      ) : (
        <Command
          label="Push commands"
          text={[
            `docker login ${target.data.registry} --username ${identity?.name ?? '<user>'}`,
            `docker tag my-image ${target.data.target}`,
            `docker push ${target.data.target}`,
          ].join('\n')}
        />
      )}
      {!may('images:push') && (
        <p className="text-sm text-muted">Your role may not push images; an administrator, or a token of one, may.</p>
      )}
    </Section>
  )
}
