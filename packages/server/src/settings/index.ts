/**
 * Settings that change while the control plane runs: one resource, made with the first change. A sensitive one is kept
 * as what is needed of it (a keyed hash where it is only compared, encrypted where it is sent on) and shown as its last
 * four characters.
 *
 * Not here: what the process starts with (`config`).
 */
export type { ConfiguredWorker } from './build-workers.ts'
export { createRuntimeSettings, type RuntimeSettings } from './settings.ts'
