import { uploadResumably } from '@freehold/client'
import { baseImageContentPath } from '@freehold/contracts'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { useEffect, useRef, useState } from 'react'

/** How far an upload is, and that it is being tried again. */
export interface UploadState {
  doneBytes: number
  totalBytes: number
  retrying: string | null
}

/**
 * Uploads files as the bytes of base images, one at a time, from where an earlier upload broke off. Leaving the page or
 * `stop` ends it; what was sent stays.
 */
export function useUpload() {
  const [state, setState] = useState<UploadState | null>(null)
  const stopper = useRef<AbortController | null>(null)
  useEffect(() => () => stopper.current?.abort(), [])

  async function run(id: string, file: File): Promise<void> {
    const controller = new AbortController()
    stopper.current = controller
    const totalBytes = file.size
    try {
      await uploadResumably({
        url: location.origin,
        path: baseImageContentPath(id),
        hasher: createHasher(),
        source: {
          sizeBytes: totalBytes,
          read: async (from, until) => new Uint8Array(await file.slice(from, until).arrayBuffer()),
        },
        signal: controller.signal,
        onProgress: (doneBytes) => setState({ doneBytes, totalBytes, retrying: null }),
        onRetry: ({ message }) =>
          setState((before) => ({ doneBytes: before?.doneBytes ?? 0, totalBytes, retrying: message })),
      })
    } finally {
      setState(null)
    }
  }
  return { state, run, stop: () => stopper.current?.abort() }
}

/** Browsers hash only what they hold whole in memory, which an image is not. */
function createHasher() {
  const hash = sha256.create()
  return { update: (bytes: Uint8Array) => hash.update(bytes), hex: () => bytesToHex(hash.digest()) }
}

/** A name for a base image, from the name of its file: `2024-11-pi-os.img.xz` → `2024-11-pi-os`. */
export function nameOfFile(filename: string): string {
  return filename
    .toLowerCase()
    .replace(/(\.(img|raw|iso|zip|gz|xz|zst|balenaos))+$/, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 40)
    .replace(/-+$/, '')
}
