import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { AgentArchitecture } from './architecture.ts'
import { atomicsOf } from './atomics.ts'
import { librariesOf, licenseOf } from './libraries.ts'
import type { ArchiveEntry } from './tar.ts'

/** Node is the last argument but one of what runs: it starts its own kind by `process.execPath`. */
const startScript = `#!/bin/sh
# Starts the device agent that lies beside this file; its commands are the arguments.
root=$(dirname "$(dirname "$(readlink -f "$0")")")
export LD_LIBRARY_PATH="$root/lib\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$root/bin/node" "$root/app/packages/device-agent/src/main.ts" "$@"
`

/** Everything of the archive but Node itself, from what is installed. Throws `unavailable` where a part is missing. */
export async function contentsOf(options: {
  installation: string
  architecture: AgentArchitecture
  cacheFolder: string
}): Promise<ArchiveEntry[]> {
  const { installation } = options
  const libraries = await librariesOf(installation, 'packages/device-agent')
  const read = (path: string) => readFile(join(installation, path))
  const inApp = async (paths: readonly string[]): Promise<ArchiveEntry[]> =>
    Promise.all(paths.map(async (path) => ({ path: `app/${path}`, mode: 0o644, bytes: await read(path) })))

  const sources = [
    ...(await sourcesBelow(installation, 'packages/device-agent/src')),
    ...(await sourcesBelow(installation, 'packages/reconcile/src')),
    ...(await leanFiles(installation)),
    ...['device-agent', 'reconcile', 'contracts'].map((name) => `packages/${name}/package.json`),
    ...libraries.flatMap(({ files }) => files),
  ]
  return [
    { path: 'bin/baserunner', mode: 0o755, bytes: Buffer.from(startScript) },
    ...(await inApp(sources)),
    ...['contracts', 'reconcile'].map((name) => ({
      path: `app/node_modules/@freehold/${name}`,
      target: `../../packages/${name}`,
    })),
    ...(await atomicsOf(options)),
    { path: 'LICENSES/freehold.txt', mode: 0o644, bytes: await read('LICENSE') },
    { path: 'LICENSES/node.txt', mode: 0o644, bytes: await nodeLicense() },
    ...(await Promise.all(libraries.map((library) => licenseOf(installation, library)))),
  ]
}

/** The same for the same contents, wherever they lie. */
export function fingerprintOf(entries: readonly ArchiveEntry[]): string {
  const hash = createHash('sha256')
  for (const entry of entries.toSorted((one, other) => (one.path < other.path ? -1 : 1))) {
    if ('source' in entry) throw new Error('What is taken by its path needs a fingerprint of its own.')
    const content = 'target' in entry ? entry.target : createHash('sha256').update(entry.bytes).digest('hex')
    hash.update(JSON.stringify([entry.path, 'mode' in entry ? entry.mode : 'link', content]))
  }
  return hash.digest('hex')
}

/** Code as it runs: what only tests need stays away. */
async function sourcesBelow(installation: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(installation, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !/\.(test|testing|fixture)\.ts$/.test(entry.name))
    .map((entry) => posix.join(entry.parentPath.slice(installation.length).replace(/^\/+/, ''), entry.name))
}

/** The door for processes of little memory, and what it leads to: never the schemas. */
async function leanFiles(installation: string): Promise<string[]> {
  const found = new Set<string>()
  const walk = async (path: string): Promise<void> => {
    if (found.has(path)) return
    found.add(path)
    const text = await readFile(join(installation, path), 'utf8')
    for (const [, specifier = ''] of text.matchAll(/^(?:import|export) (?!type ).*? ?from '([^']+)'/gms)) {
      if (!specifier.startsWith('.')) {
        throw new FreeholdError(
          'unavailable',
          `${path} needs ${specifier}, which no archive of the device agent brings.`,
        )
      }
      await walk(posix.join(posix.dirname(path), specifier))
    }
  }
  await walk('packages/contracts/src/lean.ts')
  return [...found]
}

/** Node's own licence and those of what is in it. It is kept packed, as nobody edits it. */
async function nodeLicense(): Promise<Buffer> {
  const { gunzipSync } = await import('node:zlib')
  return gunzipSync(await readFile(join(import.meta.dirname, 'node-license.txt.gz')))
}
