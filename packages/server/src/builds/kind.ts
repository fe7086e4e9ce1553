import {
  type BaseImage,
  type Build,
  type buildInput,
  type CorebuildArtifact,
  type ErrorCode,
  FreeholdError,
} from '@freehold/contracts'
import type { z } from 'zod'

/**
 * The rules of builds, pure. States only go `waiting` → `building` → `succeeded`, `failed` or `cancelled`; an attempt
 * that is lost leads back to `waiting`. What has ended never changes its state again: every rule answers undefined then.
 */
export type BuildInput = z.output<typeof buildInput>
export type BuildStatus = Build['status']
export type Artifact = NonNullable<BuildStatus['artifact']>

export const attemptsAtMost = 3
const dayMs = 86_400_000
const messageCharacters = 1000

export function isOpen({ state }: Pick<BuildStatus, 'state'>): boolean {
  return state === 'waiting' || state === 'building'
}

/** Throws `invalid-input` for what no worker could make, `conflict` while the base's bytes are not there. */
export function checkBuild(input: BuildInput, base: BaseImage | undefined): void {
  const { imageKind, architecture, baseImageId } = input
  if (imageKind === 'ubuntu-iso' && architecture === 'rpi') {
    throw wrong('architecture', 'ubuntu-iso is for amd64 and arm64; a Raspberry Pi takes balena-raw.')
  }
  if (imageKind === 'balena-raw' && baseImageId === null) {
    throw wrong('baseImageId', 'balena-raw needs a base image; ubuntu-iso alone can do without.')
  }
  if (baseImageId === null) return
  if (base === undefined) throw wrong('baseImageId', `There is no base image with the id ${baseImageId}.`)
  if (base.data.imageKind !== imageKind || base.data.architecture !== architecture) {
    throw wrong(
      'baseImageId',
      `The base image "${base.data.name}" is ${base.data.imageKind} for ${base.data.architecture}, the build is ${imageKind} for ${architecture}.`,
    )
  }
  if (base.status.state !== 'ready') {
    throw new FreeholdError(
      'conflict',
      `The bytes of the base image "${base.data.name}" are not there yet: upload them.`,
    )
  }
}

/** The part of a build's id that people and hosts see. */
export const shortId = (buildId: string): string => buildId.slice(-8)

/** What the image is called where the worker does not say it well. */
function filenameOf(build: Pick<Build, 'id' | 'data'>): string {
  const { imageKind, architecture, compression } = build.data
  const ending =
    imageKind === 'ubuntu-iso' ? 'iso' : compression === 'none' ? 'img' : compression === 'zst' ? 'img.zst' : 'img.xz'
  return `baseos-${architecture}-${shortId(build.id)}.${ending}`
}

/** Where in S3 an attempt puts its image. Each attempt has a place of its own: a worker thought lost may still write. */
export function artifactKeyOf(build: Pick<Build, 'id' | 'data'>, attempt: number): string {
  return `${artifactPrefix}${build.id}/${attempt === 1 ? '' : `${attempt}-`}${filenameOf(build)}`
}
export const artifactPrefix = 'corebuild/baseos/'

/** An attempt begins on a worker. Undefined where the build does not wait, or has had its attempts. */
export function begun(
  status: BuildStatus,
  { workerId, at }: { workerId: string; at: string },
): BuildStatus | undefined {
  if (status.state !== 'waiting' || status.attempt >= attemptsAtMost) return undefined
  const attempt = status.attempt + 1
  return {
    ...status,
    state: 'building',
    message: attempt === 1 ? `Being built by ${workerId}.` : `Being built by ${workerId}, attempt ${attempt}.`,
    attempt,
    workerId,
    progress: null,
    startedAt: status.startedAt ?? at,
  }
}

/** The worker never began: the attempt does not count. */
export function givenBack(status: BuildStatus, { attempt, message }: Ended): BuildStatus | undefined {
  if (!isAttempt(status, attempt)) return undefined
  return { ...status, state: 'waiting', message: cut(message), attempt: attempt - 1, workerId: null, progress: null }
}

/** Before what had no room is tried again, there or here: somebody must make some first. */
export function pauseMsAfter(attempt: number): number {
  return 60_000 * 5 ** (attempt - 1)
}

/** The attempt came to nothing, for a reason another may not have; `pauseMs`: until there is another. */
export function lost(
  status: BuildStatus,
  { attempt, message, at, pauseMs = 0 }: Ended & { pauseMs?: number },
): BuildStatus | undefined {
  if (!isAttempt(status, attempt)) return undefined
  if (attempt >= attemptsAtMost) {
    return failed(status, { attempt, message: `${message} That was attempt ${attempt}, the last one.`, at })
  }
  const minutes = Math.round(pauseMs / 60_000)
  const when = pauseMs === 0 ? '' : minutes === 1 ? ' in a minute' : ` in ${minutes} minutes`
  const again = `Attempt ${attempt} came to nothing: ${message} It is tried again${when}.`
  return { ...status, state: 'waiting', message: cut(again), progress: null, workerId: null }
}

export function failed(status: BuildStatus, { attempt, message, at }: Ended): BuildStatus | undefined {
  if (!isAttempt(status, attempt)) return undefined
  return { ...status, state: 'failed', message: cut(message), progress: null, endedAt: at }
}

/** Failed before a worker had it. */
export function refused(status: BuildStatus, { message, at }: Pick<Ended, 'message' | 'at'>): BuildStatus | undefined {
  if (status.state !== 'waiting') return undefined
  return { ...status, state: 'failed', message: cut(message), progress: null, endedAt: at }
}

export function succeeded(
  status: BuildStatus,
  { attempt, artifact, at }: { attempt: number; artifact: Artifact; at: string },
): BuildStatus | undefined {
  if (!isAttempt(status, attempt)) return undefined
  return { ...status, state: 'succeeded', message: 'The image is ready.', progress: null, endedAt: at, artifact }
}

export function cancelled(status: BuildStatus, { at }: { at: string }): BuildStatus | undefined {
  if (!isOpen(status)) return undefined
  return { ...status, state: 'cancelled', message: 'Nothing of it is kept.', progress: null, endedAt: at }
}

/** What the attempt under way tells of itself. */
export function progressed(
  status: BuildStatus,
  { attempt, progress, message }: { attempt: number; progress: BuildStatus['progress']; message: string },
): BuildStatus | undefined {
  return isAttempt(status, attempt) ? { ...status, progress, message: cut(message) } : undefined
}

/** Why it still waits. */
export function waitsBecause(status: BuildStatus, message: string): BuildStatus | undefined {
  if (status.state !== 'waiting' || status.message === cut(message)) return undefined
  return { ...status, message: cut(message) }
}

/** The image is kept no longer; the record stays. Undefined where none is kept. */
export function withoutImage(status: BuildStatus, message: string): BuildStatus | undefined {
  if (status.artifact === null || status.artifact.location === null) return undefined
  return { ...status, message, artifact: { ...status.artifact, location: null } }
}

interface Ended {
  attempt: number
  message: string
  at: string
}

function isAttempt(status: BuildStatus, attempt: number): boolean {
  return status.state === 'building' && status.attempt === attempt
}

/**
 * What a failure that a worker told of means: `final`, another worker would fail as well; `again`, it may be another thing
 * elsewhere or later; `worker`, this worker does not take our jobs, and the attempt never began.
 */
export function meaningOf(code: ErrorCode): 'final' | 'again' | 'worker' {
  switch (code) {
    case 'unauthenticated':
    case 'token-expired':
    case 'forbidden':
    case 'unavailable':
    case 'too-many-requests':
      return 'worker'
    case 'internal':
    case 'timeout':
    case 'upstream-failed':
    case 'storage-full':
    case 'storage-unwritable':
      return 'again'
    default:
      return 'final'
  }
}

/** The record of an image that is stored and verified. */
export function artifactOf(options: {
  build: Pick<Build, 'id' | 'data'>
  said: CorebuildArtifact
  location: Artifact['location']
  nowMs: number
}): Artifact {
  const { build, said, location, nowMs } = options
  return {
    filename: /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(said.filename) ? said.filename : filenameOf(build),
    contentType: /^application\/[A-Za-z0-9.+-]{1,80}$/.test(said.contentType)
      ? said.contentType
      : 'application/octet-stream',
    sizeBytes: said.size,
    sha256: said.sha256,
    location,
    createdAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + build.data.keepForDays * dayMs).toISOString(),
  }
}

/** Progress that is worth writing down: another phase, or a hundredth more. */
export function isNews(before: BuildStatus['progress'], after: NonNullable<BuildStatus['progress']>): boolean {
  if (before === null || before.phase !== after.phase || after.doneBytes < before.doneBytes) return true
  const step = after.totalBytes === null ? 64 * 1024 * 1024 : after.totalBytes / 100
  return after.doneBytes - before.doneBytes >= step
}

/** A sentence that somebody else wrote, as long as one may be. */
export function cut(message: string): string {
  return message.length <= messageCharacters ? message : `${message.slice(0, messageCharacters - 1)}…`
}

function wrong(path: string, message: string): FreeholdError {
  return new FreeholdError('invalid-input', message, { details: [{ path: `data.${path}`, message }] })
}
