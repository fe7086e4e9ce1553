import type { Readable } from 'node:stream'
import type { RegistryClient } from '../external-registries/index.ts'
import type { Descriptor } from './manifest.ts'

/** A config where it lies elsewhere; undefined where it has another size than its manifest says. */
export async function openConfig(
  client: RegistryClient,
  repository: string,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<Readable | undefined> {
  const { bytes, sizeBytes } = await client.blob(repository, digest, signal)
  if (sizeBytes === size) return bytes
  bytes.destroy()
  return undefined
}
