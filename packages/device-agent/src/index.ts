/**
 * The device agent, known to its hosts as BaseRunner: keeps a device's identity, reports to the control plane, asks the
 * balena Supervisor for updates and says what really came of them, takes signed releases, and lets a product on the same
 * device ask for updates too.
 *
 * Not here: a shell, and any call into the device from outside.
 */
export type { DeviceDesiredState, DeviceStatus } from '@freehold/contracts'
export { BaseRunner, type RunnerParts, type RunnerStatus } from './base-runner.ts'
export { type CliParts, runCli } from './cli.ts'
export { type Config, type LocalApiAddress, readConfig } from './config.ts'
export type { HeartbeatAnswer, RegisterAnswer } from './control-plane/answers.ts'
export { type Asked, CloudlyConnector } from './control-plane/connector.ts'
export { heartbeatPauseMs } from './control-plane/rules.ts'
export { createUpdateLocks, type UpdateLocks } from './locks/update-locks.ts'
export { createNudge, type Nudge, type Urgency } from './nudge.ts'
export { type Phase, urgencyOf } from './releases/half.ts'
export { createHostDriver, type HostDriverOptions, layOutTwoRoots } from './releases/host/index.ts'
export { createRedactor, type Redactor, Secret } from './secret.ts'
export { createState, type DeviceState, type StateFile } from './state/index.ts'
export { SupervisorClient, SupervisorError } from './supervisor/client.ts'
export type { Outcome, UpdateStatus } from './supervisor/update.ts'
