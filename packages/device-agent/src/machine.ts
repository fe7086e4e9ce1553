import type { DeviceStatus } from '@freehold/contracts'
import { deviceLimits } from '@freehold/contracts/lean'
import {
  cpus,
  freemem,
  hostname,
  loadavg,
  networkInterfaces,
  readFile,
  release,
  statfs,
  totalmem,
  type,
  uptime,
} from './builtin.ts'

export type MachineStatus = NonNullable<DeviceStatus['machine']>

/** The machine as it is now; what it does not tell is null. `folder`: on the file system whose room counts. */
export async function machineStatus(folder: string): Promise<MachineStatus> {
  const [space, temperatureCelsius] = await Promise.all([spaceOf(folder), temperature()])
  return {
    architecture: process.arch,
    operatingSystem: `${type()} ${release()}`.slice(0, 200),
    cpuCores: cpus().length,
    load: loadavg()[0] ?? null,
    memoryBytes: totalmem(),
    memoryFreeBytes: freemem(),
    ...space,
    temperatureCelsius,
    uptimeSeconds: Math.round(uptime()),
    addresses: addresses(),
    timeZone: await timeZone(),
  }
}

/** Room for everything but the applications, whose names others choose, within the limit of a request. */
const statusLimitBytes = deviceLimits.requestBytes - 8 * 1024

/** The status without its applications where it would be too large to be sent. */
export function boundedStatus(status: DeviceStatus): DeviceStatus {
  if (Buffer.byteLength(JSON.stringify(status)) <= statusLimitBytes) return status
  const problem = 'What the Supervisor tells of the applications is too large to be reported.'
  return { ...status, apps: null, problems: [...status.problems, problem] }
}

/** At most 253 characters, as names of hosts are. */
export function hostName(): string {
  return hostname().slice(0, 253)
}

/**
 * By name, from where Linux keeps it: asking `Intl` would load the tables of all languages, 8 MB. The environment goes
 * first, since balenaOS itself runs in UTC.
 */
export async function timeZone(): Promise<string | null> {
  const name = process.env.TZ ?? (await readFile('/etc/timezone', 'utf8').catch(() => 'UTC')).trim()
  return /^[A-Za-z0-9_+/-]{1,64}$/.test(name) ? name : null
}

/** Another one after each start of the device; null where the system does not tell. */
export async function kernelBootId(): Promise<string | null> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim() || null
}

async function spaceOf(folder: string): Promise<{ storageBytes: number | null; storageFreeBytes: number | null }> {
  try {
    const { bsize, blocks, bavail } = await statfs(folder)
    return { storageBytes: bsize * blocks, storageFreeBytes: bsize * bavail }
  } catch {
    return { storageBytes: null, storageFreeBytes: null }
  }
}

/** Linux tells thousandths of a degree; many machines tell nothing. */
async function temperature(): Promise<number | null> {
  try {
    const thousandths = Number(await readFile('/sys/class/thermal/thermal_zone0/temp', 'utf8'))
    return Number.isFinite(thousandths) ? thousandths / 1000 : null
  } catch {
    return null
  }
}

function addresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address.slice(0, 64))
    .slice(0, 16)
}
