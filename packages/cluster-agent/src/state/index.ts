/**
 * What an agent remembers over restarts: who it is, what was last desired, and which services it has made. Files are
 * replaced atomically and readable by their owner alone; a memory twin serves tests and simulations.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Desired, desiredSchema, FreeholdError } from '@freehold/contracts'

export interface AgentState {
  readIdentity(): Promise<Identity | null>
  writeIdentity(identity: Identity): Promise<void>
  /** Null where there is none, or none that can be read: the control plane will tell it again. */
  readDesired(): Promise<Desired | null>
  /** Without passwords of registries elsewhere: the Swarm keeps those of what runs, and a new link brings them again. */
  writeDesired(desired: Desired): Promise<void>
  /** Names of the Swarm services it made. */
  readCreated(): Promise<string[]>
  writeCreated(names: string[]): Promise<void>
}

export interface Identity {
  /** Ed25519, PKCS #8, PEM. It never leaves the machine. */
  privateKeyPem: string
  /** SPKI DER, base64. */
  publicKey: string
  /** What the control plane registered the key as; null until enrolled. */
  node: { nodeId: string; clusterId: string; clusterName: string } | null
}

/** A new key pair, not enrolled yet. */
export function createIdentity(): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    node: null,
  }
}

/** Files `identity.json`, `desired.json` and `created.json` in the directory, which is made where it is missing. */
export async function openAgentState(directory: string): Promise<AgentState> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const read = async (name: string): Promise<unknown> => {
    try {
      return JSON.parse(await readFile(join(directory, name), 'utf8'))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw new FreeholdError(
        'storage-unwritable',
        `${join(directory, name)} cannot be read: ${(error as Error).message}`,
      )
    }
  }
  const write = (name: string, content: unknown) => replaceFile(directory, name, JSON.stringify(content))
  return {
    readIdentity: async () => {
      const stored = await read('identity.json')
      if (stored === null) return null
      if (isIdentity(stored)) return stored
      throw new FreeholdError(
        'conflict',
        `${join(directory, 'identity.json')} is not an agent's identity. Restore it, or remove it and enrol the node again.`,
      )
    },
    writeIdentity: (identity) => write('identity.json', identity),
    readDesired: async () => desiredSchema.safeParse(await read('desired.json').catch(() => null)).data ?? null,
    writeDesired: (desired) => write('desired.json', { ...desired, externalPulls: [] }),
    readCreated: async () => {
      const names = await read('created.json').catch(() => null)
      return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
    },
    writeCreated: (names) => write('created.json', names),
  }
}

/** Forgets everything when the process ends. */
export function createMemoryState(identity: Identity | null = null): AgentState {
  const held: { identity: Identity | null; desired: Desired | null; created: string[] } = {
    identity,
    desired: null,
    created: [],
  }
  return {
    readIdentity: async () => held.identity,
    writeIdentity: async (identity) => void Object.assign(held, { identity }),
    readDesired: async () => held.desired,
    writeDesired: async (desired) => void Object.assign(held, { desired }),
    readCreated: async () => held.created,
    writeCreated: async (created) => void Object.assign(held, { created }),
  }
}

/** Either the old content or the new, also after a power cut: temporary file, fsync, rename, fsync of the folder. */
async function replaceFile(directory: string, name: string, content: string): Promise<void> {
  const temporary = join(directory, `.${name}.new`)
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(directory, name))
  const folder = await open(directory, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function isIdentity(value: unknown): value is Identity {
  const { privateKeyPem, publicKey, node } = (value ?? {}) as Partial<Identity>
  const isNode = node === null || (typeof node?.nodeId === 'string' && typeof node.clusterId === 'string')
  return typeof privateKeyPem === 'string' && typeof publicKey === 'string' && isNode
}
