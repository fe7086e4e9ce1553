import { useId, useState } from 'react'
import { type DraftProps, TextField } from '../../components/field.tsx'
import type { ReleaseDraft } from './draft.ts'
import { ImageField } from './image-field.tsx'

const mostBytes = 8 * 1024 * 1024

/** What a host release is made of. */
export function HostFields({ draft, set, fault }: DraftProps<ReleaseDraft>) {
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      <TextField
        label="Type of device"
        value={draft.hostDeviceType}
        onChange={(hostDeviceType) => set({ hostDeviceType })}
        required
        spellCheck={false}
        placeholder="raspberrypi4-64"
        hint="A host release is for one type."
        error={fault('data.host.deviceType')}
      />
      <TextField
        label="From version"
        value={draft.minimumVersion}
        onChange={(minimumVersion) => set({ minimumVersion })}
        placeholder="Any"
        hint="A device with an older host must take one between first."
        error={fault('data.host.minimumVersion')}
      />
      <ImageField
        label="Root file system"
        placeholder="baseos/hostapp:2.0.0"
        value={draft.hostapp}
        onChange={(hostapp) => set({ hostapp })}
        required
        error={fault('data.host.hostapp')}
      />
      <ImageField
        label="Device agent, if it changes"
        placeholder="baseos/runner:0.3.0"
        value={draft.baserunner}
        onChange={(baserunner) => set({ baserunner })}
        error={fault('data.host.baserunner')}
      />
      <LicenseField onRead={(licenseBundle) => set({ licenseBundle })} error={fault('data.host.licenseBundle')} />
    </div>
  )
}

function LicenseField({ onRead, error }: { onRead: (base64: string | null) => void; error: string | undefined }) {
  const id = useId()
  const [problem, setProblem] = useState<string>()
  const read = async (file: File | undefined) => {
    setProblem(undefined)
    onRead(null)
    if (file === undefined) return
    if (file.size > mostBytes) return setProblem('It has more than 8 MiB.')
    onRead(base64Of(new Uint8Array(await file.arrayBuffer())))
  }
  const fault = problem ?? error
  return (
    <div className="flex min-w-0 flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        Licences
      </label>
      <input
        id={id}
        type="file"
        accept=".tgz,.gz,application/gzip"
        aria-describedby={`${id}-hint`}
        aria-invalid={fault === undefined ? undefined : true}
        onChange={(event) => void read(event.target.files?.[0])}
        className="min-w-0 text-sm file:mr-3 file:h-8 file:rounded-md file:border file:border-line file:bg-surface file:px-3 file:text-sm file:font-medium file:text-ink"
      />
      <p id={`${id}-hint`} className="text-xs text-muted">
        A .tar.gz of at most 8 MiB; none is needed.
      </p>
      {fault !== undefined && <p className="text-xs font-medium text-bad">{fault}</p>}
    </div>
  )
}

function base64Of(bytes: Uint8Array): string {
  const step = 0x8000
  let text = ''
  for (let at = 0; at < bytes.length; at += step) text += String.fromCharCode(...bytes.subarray(at, at + step))
  return btoa(text)
}
