/**
 * Brings the releases that are assigned to this device onto it: what to do next is planned from what is on disk and what
 * is seen (plan.ts), done by drivers one step at a time (loop.ts), and reported as it happened. Power may go at any moment.
 *
 * Not here: whether an assignment is to be trusted (updates/), and how containers or a host are changed (the drivers).
 */
export { createActions } from './carry-out.ts'
export { type AppsBy, createReleaseDrivers, type DeviceDrivers } from './drivers.ts'
export { createJudge } from './judge.ts'
export { createReleases, type ReleaseDrivers, type Releases } from './loop.ts'
export { storedStatus } from './status.ts'
