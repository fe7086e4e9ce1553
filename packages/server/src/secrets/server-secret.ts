import { hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FreeholdError, Secret } from '@freehold/contracts'

export interface ServerSecret {
  /** A key of its own for each purpose (HKDF-SHA-256, RFC 5869); the same one after every start. */
  deriveKey(purpose: string, sizeBytes?: number): Secret<Buffer>
}

const fileName = 'secret.key'

/**
 * Opens the secret of this installation: `appSecret` where it is set, else the key file in the data directory, which
 * is made at the first start, readable by its owner alone. Throws where that file is readable by others or damaged.
 */
export async function openServerSecret(options: {
  appSecret: string | undefined
  dataDirectory: string
}): Promise<ServerSecret> {
  const material = new Secret(options.appSecret ?? (await keyFile(options.dataDirectory)))
  return {
    deriveKey: (purpose, sizeBytes = 32) =>
      new Secret(Buffer.from(hkdfSync('sha256', material.reveal(), '', `freehold/${purpose}`, sizeBytes))),
  }
}

async function keyFile(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, fileName)
  try {
    return await readKey(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  await makeKey(path)
  return readKey(path)
}

/** Written beside and linked into place: the file is whole or absent, and the first of two makers wins. */
async function makeKey(path: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.new`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${randomBytes(32).toString('base64')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(draft, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** The name on disk too: a power cut must not take the key that was already derived from. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function readKey(path: string): Promise<string> {
  const { mode } = await stat(path)
  if ((mode & 0o077) !== 0) {
    throw new FreeholdError(
      'conflict',
      `${path} holds the secret of this installation and others may read it. Run: chmod 600 ${path}`,
    )
  }
  const text = (await readFile(path, 'utf8')).trim()
  if (Buffer.from(text, 'base64').length !== 32) {
    throw new FreeholdError(
      'conflict',
      `${path} is damaged: it should hold 32 bytes in base64. Restore it from a backup of the data directory.`,
    )
  }
  return text
}
