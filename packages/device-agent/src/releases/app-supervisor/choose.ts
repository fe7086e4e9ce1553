import { NoAnswerError } from '../../http.ts'
import { type SupervisorClient, SupervisorError } from '../../supervisor/client.ts'
import type { ReleaseDriver } from '../driver.ts'
import type { Engine } from './engine.ts'
import type { MemoryFile } from './memory.ts'
import { supervisorDriverName } from './supervisor-driver.ts'
import { updateDriverName } from './update-driver.ts'

/** What the host offers. */
export interface HostOffers {
  /** `open`: its device API is, so that a local target state may be set; `owned`: something else sets it. */
  supervisor: 'none' | 'away' | 'owned' | 'open'
  engine: 'none' | 'away' | 'there'
  /** Whether the agent knows a control plane, whose registry has the images. */
  hasRegistry: boolean
}

/** Which driver fits, and why, for people. `wait`: not known now. */
export interface AppDriverChoice {
  name: typeof supervisorDriverName | typeof updateDriverName | 'none' | 'wait'
  message: string
}

export function chooseAppDriver({ supervisor, engine, hasRegistry }: HostOffers): AppDriverChoice {
  if (supervisor === 'none') {
    return none(
      'There is no Supervisor: set BALENA_SUPERVISOR_ADDRESS, or the label io.balena.features.supervisor-api.',
    )
  }
  if (supervisor === 'away') return { name: 'wait', message: 'The Supervisor does not answer.' }
  if (supervisor === 'owned') {
    const message = 'Something else owns what this device runs; the Supervisor is only asked to look for its update.'
    return { name: updateDriverName, message }
  }
  if (!hasRegistry) return none('There is no control plane whose registry has the images: set BASEOS_CLOUDLY_URL.')
  if (engine === 'none') {
    return none('The host gives no container engine: set the label io.balena.features.balena-socket.')
  }
  if (engine === 'away') return { name: 'wait', message: "The host's container engine does not answer." }
  const message = "This device's own target state is set, with images from the control plane's registry."
  return { name: supervisorDriverName, message }
}

function none(message: string): AppDriverChoice {
  return { name: 'none', message }
}

/** Looks what the host offers; throws nothing but what `signal` does. */
export async function lookAtHost(options: {
  client: SupervisorClient | null
  engine: Engine | null
  hasRegistry: boolean
  signal?: AbortSignal | undefined
}): Promise<HostOffers> {
  const { client, engine, hasRegistry, signal } = options
  return {
    supervisor: client === null ? 'none' : await supervisorOffer(client, signal),
    engine: engine === null ? 'none' : await engineOffer(engine, signal),
    hasRegistry,
  }
}

async function supervisorOffer(client: SupervisorClient, signal?: AbortSignal): Promise<HostOffers['supervisor']> {
  try {
    return (await client.isOpen(signal)) ? 'open' : 'owned'
  } catch (error) {
    if (error instanceof SupervisorError || error instanceof NoAnswerError) return 'away'
    throw error
  }
}

async function engineOffer(engine: Engine, signal?: AbortSignal): Promise<'there' | 'away'> {
  try {
    await engine.ping(signal)
    return 'there'
  } catch {
    return 'away'
  }
}

/** The driver of applications for whatever device this is; decides anew before each release, and keeps to it within one. */
export interface AppDriver extends ReleaseDriver {
  /** For `status`. */
  choice(signal?: AbortSignal): Promise<AppDriverChoice>
}

/** `drivers`: by their names; those that cannot exist here are left out. */
export function createAppDriver(options: {
  look: (signal?: AbortSignal) => Promise<HostOffers>
  drivers: readonly ReleaseDriver[]
  memory: MemoryFile
}): AppDriver {
  const { look, drivers, memory } = options
  const choice = async (signal?: AbortSignal) => chooseAppDriver(await look(signal))
  const chosen = async (signal: AbortSignal): Promise<ReleaseDriver> => {
    const { trial } = await memory.load()
    const onTrial = drivers.find(({ name }) => name === trial?.driver)
    if (onTrial) return onTrial
    const { name, message } = await choice(signal)
    const driver = drivers.find((candidate) => candidate.name === name)
    if (!driver) throw new Error(message)
    return driver
  }
  return {
    name: 'app',
    choice,
    unsupported: async (manifest, signal) => {
      const { name, message } = await choice(signal)
      if (name === 'none') return message
      return (await chosen(signal)).unsupported(manifest, signal)
    },
    running: async (signal) => {
      if ((await choice(signal)).name === 'none') return null
      return (await chosen(signal)).running(signal)
    },
    download: async (manifest, how) => (await chosen(how.signal)).download(manifest, how),
    apply: async (manifest, how) => (await chosen(how.signal)).apply(manifest, how),
    health: async (manifest, signal) => (await chosen(signal)).health(manifest, signal),
    commit: async (manifest, signal) => (await chosen(signal)).commit(manifest, signal),
    rollBack: async (signal) => (await chosen(signal)).rollBack(signal),
  }
}
