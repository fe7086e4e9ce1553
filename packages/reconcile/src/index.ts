/**
 * The four words of every loop: observe, plan, execute, report. A driver that runs one pass at a time by signal and
 * by period, a helper for the passes themselves, and the clock and randomness they take as parameters, so that a
 * simulator runs the same code in virtual time under a seed. No I/O, and nothing of ours is imported.
 */
export { type Clock, createFakeClock, type FakeClock, systemClock } from './clock.ts'
export { type Backoff, backoffMs, createDriver, type Driver } from './driver.ts'
export { type Executors, type Failure, observePlanExecute, type Pass, type StepLike, type WaitStep } from './pass.ts'
export { createRandom, type Random, systemRandom } from './random.ts'
