import type { ToolSetting } from './tools/run.ts'

/** The phases of a build, in their order; a phase without work is left out. */
export type BuildPhase = 'check' | 'download' | 'verify' | 'inspect' | 'edit' | 'write'

export interface Progress {
  phase: BuildPhase
  doneBytes: number
  /** Null where it is not known. */
  totalBytes: number | null
}

export interface Limits {
  /** Longest run of one program that does not stream. */
  toolTimeoutMs: number
  /** Longest silence of a program that streams, and of a server that sends. */
  stallMs: number
  /** Largest base image taken, compressed or not. */
  baseBytes: number
  /** The cache forgets what was unused for longest once it holds more. */
  cacheBytes: number
}

export const defaultLimits: Limits = {
  toolTimeoutMs: 600_000,
  stallMs: 120_000,
  baseBytes: 32 * 1024 ** 3,
  cacheBytes: 32 * 1024 ** 3,
}

/** What a download asks of `fetch`, which follows redirects. */
export type FetchBase = (
  url: string,
  init: { headers: Record<string, string>; signal: AbortSignal },
) => Promise<Response>

/** What every part of one build works with. */
export interface BuildContext {
  /** The configuration's folder. */
  folder: string
  /** Where base images are kept between builds. */
  cacheFolder: string
  /** The temporary folder of this build. */
  workspace: string
  tools: ToolSetting
  signal: AbortSignal
  limits: Limits
  /** Fetches base images. */
  fetch: FetchBase
  /** Bytes that may still be written to the file system of a folder. */
  freeBytes: (folder: string) => Promise<number>
  progress: (progress: Progress) => void
  /** Says one sentence of what is done. Never holds a value of the configuration that could be secret. */
  log: (sentence: string) => void
}
