import { useCallback } from 'react'
import { useStatus } from '../../app/queries.ts'
import { useIdentity, useMay } from '../../app/session.ts'
import { Command } from '../../components/copy.tsx'

/** Writes the name under which clients pull a version: `:1.2` or `@sha256:…` behind host and repository. */
export function usePullName(repository: string): (reference: string) => string {
  const host = useRegistryHost()
  return useCallback((reference: string) => `${host}/${repository}${reference}`, [host, repository])
}

/** Host and port of our registry, as this server is reached by others. */
function useRegistryHost(): string {
  const url = useStatus().data?.publicUrl
  return url === undefined ? location.host : new URL(url).host
}

/** The lines that bring an image here. */
export function PushHelp({ name }: { name: string }) {
  const host = useRegistryHost()
  const may = useMay()
  const { data: identity } = useIdentity()
  return (
    <div className="flex flex-col gap-2 text-left">
      <Command
        label="Push commands"
        text={[
          `docker login ${host} --username ${identity?.name ?? '<user>'}`,
          `docker tag my-image ${host}/${name}:latest`,
          `docker push ${host}/${name}:latest`,
        ].join('\n')}
      />
      {!may('images:push') && (
        <p className="text-sm text-muted">Your role may not push images; an administrator, or a token of one, may.</p>
      )}
    </div>
  )
}
