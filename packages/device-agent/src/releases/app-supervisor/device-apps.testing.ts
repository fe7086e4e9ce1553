import { systemClock } from '@freehold/reconcile'
import { createLog } from '../../log.ts'
import { createRedactor, Secret } from '../../secret.ts'
import { SupervisorClient } from '../../supervisor/client.ts'
import { type AppDriver, createAppSupervisor } from './index.ts'

export { DriverLocked } from '../driver.ts'
export { localImage, ourAppId } from './names.ts'

/** The agent's driver of applications on an engine and a control plane that are there, as one process of it would make it. */
export function startDeviceApps(options: {
  supervisorUrl: URL
  dockerHost: string
  cloudlyUrl: string
  nodeToken: string
  memoryPath: string
}): Promise<AppDriver> {
  const { supervisorUrl, dockerHost, cloudlyUrl, nodeToken, memoryPath } = options
  const redactor = createRedactor()
  return createAppSupervisor({
    client: new SupervisorClient({ address: supervisorUrl, key: null, redactor }),
    updater: undefined,
    dockerHost,
    cloudlyUrl: new URL(cloudlyUrl),
    nodeToken: () => new Secret(nodeToken),
    memoryPath,
    redactor,
    log: createLog({ write: () => undefined, redactor, level: 'silent' }),
    clock: systemClock,
    monotonicMs: () => performance.now(),
    limits: { totalMs: 60_000, failedMs: 10_000, lookEveryMs: 50 },
  })
}
