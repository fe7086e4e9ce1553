import { buildDownloadPath, flashingHint } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Command, CopyButton } from '../../components/copy.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { bytes } from '../../components/format.ts'
import { Facts, Section } from '../../components/page.tsx'
import { Ago } from '../../components/time.tsx'
import type { Build } from './words.ts'

type ArtifactOf = NonNullable<Build['status']['artifact']>

/** The image: to download, to check, and how it gets onto a stick or a card. */
export function Artifact(props: { build: Build; artifact: ArtifactOf; mayDownload: boolean }) {
  const { build, artifact, mayDownload } = props
  const client = useClient()
  const download = useMutation({
    mutationFn: () => client.builds.download({ params: { id: build.id }, body: {} }),
    // The signed query, at the address that this page has the server at; the answer is a file, so the page stays.
    onSuccess: ({ url }) => location.assign(`${buildDownloadPath(build.id)}${new URL(url).search}`),
  })
  const isKept = artifact.location !== null
  return (
    <Section
      title="Image"
      actions={
        isKept &&
        mayDownload && (
          <Button look="primary" busy={download.isPending} onClick={() => download.mutate()}>
            Download
          </Button>
        )
      }
    >
      <ErrorNote error={download.error} />
      <Facts
        facts={[
          [
            'File',
            <span key="file" className="break-all">
              {artifact.filename}
            </span>,
          ],
          ['Size', bytes(artifact.sizeBytes)],
          [
            isKept ? 'Kept until' : 'Removed',
            isKept ? <Ago key="kept" at={artifact.expiresAt} /> : 'its time was over',
          ],
        ]}
      />
      <div className="min-w-0">
        <p className="text-xs text-muted">SHA-256</p>
        <div className="flex items-center gap-1">
          <code className="min-w-0 font-mono text-xs break-all">{artifact.sha256}</code>
          <CopyButton text={artifact.sha256} label="Copy SHA-256" />
        </div>
      </div>
      {isKept && <Flashing build={build} filename={artifact.filename} />}
    </Section>
  )
}

function Flashing({ build: { data }, filename }: { build: Build; filename: string }) {
  const { command, programs, outcome } = flashingHint({ ...data, file: filename })
  return (
    <div className="flex flex-col gap-2 border-t border-line pt-4">
      <h3 className="text-sm font-semibold">Put it onto the device</h3>
      <p className="text-sm text-muted">{outcome}</p>
      <Command label="Command" text={command} />
      <p className="text-sm text-muted">
        {programs.length > 0 && `Or with ${programs.join(' or ')}. `}
        <code className="font-mono text-xs">/dev/sdX</code> is the stick or card:{' '}
        <code className="font-mono text-xs">lsblk</code> shows which. Keep the file as you would a password: whoever has
        it can enrol one device.
      </p>
    </div>
  )
}
