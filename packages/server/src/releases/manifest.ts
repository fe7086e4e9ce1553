import { hash } from 'node:crypto'
import { manifestPathOf, type Release, type ReleaseManifest } from '@freehold/contracts'
import type { ReleaseFile } from '../updates/index.ts'

/** The licence bundle of a host release, whose bytes are a blob. */
export interface LicenseFile {
  blobDigest: string
  sizeBytes: number
}

/** The files of a release, the manifest first. A host has a list of checksums beside it, and its licence bundle. */
export function filesOf(release: Pick<Release, 'id' | 'data'>, license: LicenseFile | null): ReleaseFile[] {
  const path = manifestPathOf(release.data)
  const manifest = textFile(path, canonicalJson(manifestOf(release)))
  if (release.data.host === null) return [manifest]
  const folder = path.slice(0, path.lastIndexOf('/'))
  const bundle: ReleaseFile[] =
    license === null
      ? []
      : [
          {
            path: `${folder}/license-bundle.tar.gz`,
            blobDigest: license.blobDigest,
            sha256: license.blobDigest.slice('sha256:'.length),
            sizeBytes: license.sizeBytes,
          },
        ]
  const files = [manifest, ...bundle]
  const lines = files.map((file) => `${file.sha256}  ${file.path.slice(folder.length + 1)}\n`)
  return [...files, textFile(`${folder}/checksums.txt`, lines.join(''))]
}

function manifestOf({ id, data }: Pick<Release, 'id' | 'data'>): ReleaseManifest {
  const { product, version, type, deviceTypes, services, host } = data
  return { schemaVersion: 1, releaseId: id, product, version, type, deviceTypes, services, host }
}

function textFile(path: string, text: string): ReleaseFile {
  return { path, text, sha256: hash('sha256', text, 'hex'), sizeBytes: Buffer.byteLength(text) }
}

/** JSON without white space and with the keys of every object in order of their code units. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`)
  return `{${fields.join(',')}}`
}
