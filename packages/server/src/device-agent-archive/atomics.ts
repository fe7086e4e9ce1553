import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentArchitecture } from './architecture.ts'
import { MissingPart } from './missing.ts'
import type { ArchiveEntry } from './tar.ts'

/**
 * libatomic.so.1: Node is linked with it, and a plain Ubuntu does not have it. Whatever else Node needs (glibc,
 * libstdc++, libgcc) every system has that can install packages.
 */
const name = 'libatomic.so.1'
const triplets = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' } as const
const machines = { amd64: 62, arm64: 183 } as const

/** The library and its licence, from this machine's own packages. Throws `unavailable` where no package brings it. */
export async function atomicsOf(options: {
  architecture: AgentArchitecture
  cacheFolder: string
}): Promise<ArchiveEntry[]> {
  const { architecture, cacheFolder } = options
  const byHand = join(cacheFolder, `${architecture}-${name}`)
  const triplet = triplets[architecture]
  const folders = [`/usr/lib/${triplet}`, `/usr/${triplet}/lib`, '/usr/lib64', '/usr/lib']
  for (const path of [byHand, ...folders.map((folder) => join(folder, name))]) {
    const bytes = await readIfThere(path)
    if (bytes === undefined || !isFor(bytes, architecture)) continue
    return [
      { path: `lib/${name}`, mode: 0o644, bytes },
      { path: 'LICENSES/libatomic.txt', mode: 0o644, bytes: await licenseOf(architecture) },
    ]
  }
  const install = `apt-get install --no-install-recommends ${packageFor(architecture)}`
  throw new MissingPart(
    `The device agent for ${architecture} needs ${name} for that architecture. Install it with: ${install}; or copy one from such a machine to ${byHand}. Then try again.`,
    { outline: `${name} for ${architecture} is missing. Install it on its machine with: ${install}` },
  )
}

function packageFor(architecture: AgentArchitecture): string {
  const own = { x64: 'amd64', arm64: 'arm64' }[process.arch as string]
  return architecture === own ? 'libatomic1' : `libatomic1-${architecture}-cross`
}

/** By the machine in the head of the file (ELF, "ELF Header": e_machine, little-endian). */
function isFor(bytes: Buffer, architecture: AgentArchitecture): boolean {
  const isElf = bytes.length > 64 && bytes.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]))
  return isElf && bytes.readUInt16LE(18) === machines[architecture]
}

async function licenseOf(architecture: AgentArchitecture): Promise<Buffer> {
  const said =
    'libatomic, a part of GCC (https://gcc.gnu.org, which has its source):\nGPL-3.0-or-later WITH GCC-exception-3.1\n'
  for (const folder of ['libatomic1', `libatomic1-${architecture}-cross`]) {
    const text = await readIfThere(`/usr/share/doc/${folder}/copyright`)
    if (text !== undefined) return Buffer.concat([Buffer.from(`${said}\n`), text])
  }
  return Buffer.from(said)
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
