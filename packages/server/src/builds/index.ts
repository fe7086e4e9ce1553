/**
 * Images of devices: what people ask for, the workers that make them, and the bytes that come of it.
 *
 * - A build, the one-time join token in its image and what is sealed for it are made together, and end together: a
 *   build that failed, was cancelled or deleted leaves no token with which a device could enrol.
 * - States go forward only, and what has ended stays so (`kind.ts`). One attempt of a build at a time, three at most
 *   (`dispatcher.ts`).
 * - An image is one only after its size and digest were found to be what the worker says (`receiving.ts`).
 * - Secrets are in the image, in the job, and sealed in the row; nowhere else (`secrets.ts`).
 *
 * Not here: how images are made (the build workers), and the protocol they are spoken to in (contracts).
 */
import type { BlobStore } from '@freehold/blobs'
import type { Clock, Random } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { Authenticate } from '../http/api.ts'
import type { AllHandlers } from '../http/handler.ts'
import type { RawMount } from '../http/mounts.ts'
import { createSealer, type ServerSecret } from '../secrets/index.ts'
import type { RuntimeSettings } from '../settings/index.ts'
import { createBaseImages } from './base-images.ts'
import { type BytesGuard, createImageBytes, type S3ForWorkers } from './bytes.ts'
import { createCleanup } from './cleanup.ts'
import { createDispatcher, type DispatcherTotals } from './dispatcher.ts'
import { type AgentArchive, createJobMaker } from './job.ts'
import { createBuildLogs } from './logs.ts'
import { createImageMounts } from './mount.ts'
import { createBuildHandlers } from './service.ts'
import { createUrlSigner } from './signed-url.ts'
import { createUploads } from './uploads.ts'
import { createWorkerClient } from './worker-client.ts'
import { createWorkers, type LocalWorker } from './workers.ts'

export type { S3ForWorkers } from './bytes.ts'
export type { AgentArchive } from './job.ts'
export type { LocalWorker } from './workers.ts'

export interface BuildsNoun {
  handlers: Pick<AllHandlers, 'builds' | 'baseImages' | 'buildWorkers'>
  mounts: RawMount[]
  totals(): DispatcherTotals
  /** Workers were configured anew. */
  settingsChanged(): void
  /** Begins to give builds to workers, those first that were cut off by the end of the process before. */
  start(): void
  /** Ends what is under way; it waits for the next process. */
  stop(): Promise<void>
}

export function createBuildsNoun(options: {
  store: Store
  blobs: BlobStore
  guard: BytesGuard
  /** Where the blobs are in S3, images are put there by the workers themselves. */
  s3: S3ForWorkers | null
  settings: Pick<RuntimeSettings, 'buildWorkers'>
  secret: ServerSecret
  authenticate: Authenticate
  localWorker: LocalWorker | null
  agentArchive: AgentArchive
  publicUrl: () => string
  /** Where processes of this machine reach the control plane. */
  localUrl: () => string
  cleanupPeriodMs: number
  clock: Clock
  random: Random
  log: Logger
  /** How workers are spoken to; given in simulations. */
  connect?: typeof createWorkerClient
}): BuildsNoun {
  const { store, blobs, guard, s3, settings, secret, clock, random, log, publicUrl } = options
  const now = () => clock.now()
  const sealer = createSealer(secret.deriveKey('builds'))
  const signer = createUrlSigner({ key: secret.deriveKey('image-addresses'), now })
  const bytes = createImageBytes({ store, blobs, guard, s3 })
  const uploads = createUploads({ blobs })
  const logs = createBuildLogs({ store, now })
  const connect = options.connect ?? createWorkerClient
  const workers = createWorkers({ store, settings, local: options.localWorker, connect, now })
  const jobs = createJobMaker({ ...options, signer, now })
  const dispatcher = createDispatcher({
    store,
    workers,
    jobs,
    uploads,
    bytes,
    s3,
    logs,
    sealer,
    clock,
    random,
    log,
  })
  const baseImages = createBaseImages({ store, uploads, bytes, wake: () => dispatcher.wake() })
  const cleanup = createCleanup({ store, bytes, s3, periodMs: options.cleanupPeriodMs, clock, random, log })

  return {
    handlers: {
      ...createBuildHandlers({ store, sealer, signer, bytes, logs, workers, dispatcher, publicUrl, now }),
      baseImages: baseImages.handlers,
    },
    mounts: createImageMounts({
      store,
      authenticate: options.authenticate,
      signer,
      bytes,
      uploads,
      baseImages,
      dispatcher,
      log,
    }),
    totals: dispatcher.totals,
    settingsChanged() {
      workers.forget()
      dispatcher.wake()
    },
    start() {
      dispatcher.start()
      cleanup.start()
    },
    async stop() {
      await dispatcher.stop()
      await cleanup.stop()
    },
  }
}
