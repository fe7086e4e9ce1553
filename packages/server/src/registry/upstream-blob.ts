import type { Readable } from 'node:stream'
import { FreeholdError } from '@freehold/contracts'
import type { RegistryClient } from '../external-registries/index.ts'
import type { Descriptor } from './manifest.ts'

/** A blob where it lies elsewhere. Throws `upstream-failed` where it has another size than its manifest says. */
export async function openUpstreamBlob(
  client: RegistryClient,
  repository: string,
  blob: Descriptor,
  signal: AbortSignal,
): Promise<Readable> {
  const { bytes, sizeBytes } = await client.blob(repository, blob.digest, signal)
  if (sizeBytes !== blob.size) bytes.destroy()
  requireUpstreamSize(blob, sizeBytes)
  return bytes
}

/** What a registry says beforehand must hold: room was made for that much, and memory. */
export function requireUpstreamSize({ digest, size }: Descriptor, sizeBytes: number): void {
  if (size === sizeBytes) return
  throw new FreeholdError('upstream-failed', `The manifest says ${digest} has ${size} bytes; it has ${sizeBytes}.`)
}
