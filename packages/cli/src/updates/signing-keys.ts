import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { open } from 'node:fs/promises'
import { canonicalSignedJson } from '@freehold/contracts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { readTextFile } from '../input/source.ts'
import type { Io } from '../io.ts'

/** A public key as The Update Framework names it (1.0.34 §4.2). */
export interface PublicKey {
  keytype: 'ed25519'
  scheme: 'ed25519'
  keyval: { public: string }
}
export interface NamedKey {
  keyid: string
  key: PublicKey
}
export interface SigningKey extends NamedKey {
  privateKey: KeyObject
}

const shortestPassphrase = 12

/** Makes a key and writes it, for its owner alone, with its public half beside it. Never overwrites a file. */
export async function createKeyFile(file: string, passphrase: string | undefined): Promise<NamedKey> {
  if (passphrase !== undefined && passphrase.length < shortestPassphrase) {
    throw new CliError(
      exitCodes.usage,
      `The passphrase has fewer than ${shortestPassphrase} characters.`,
      'Choose a longer one.',
    )
  }
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    ...(passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase }),
  })
  const named = nameOf(publicKey)
  await writeNew(file, String(pem), 0o600)
  await writeNew(`${file}.pub`, `${named.key.keyval.public}\n`, 0o644)
  return named
}

/** Reads a private key; asks for its passphrase where it has one and none is in the file that was named. */
export async function readSigningKey(io: Io, file: string, passphraseFile: string | undefined): Promise<SigningKey> {
  const pem = await readTextFile(file)
  const isLocked = pem.includes('BEGIN ENCRYPTED PRIVATE KEY')
  const passphrase = isLocked ? await readPassphrase(io, { file, passphraseFile }) : undefined
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === undefined ? {} : { passphrase }) })
  } catch {
    const action = isLocked ? 'Check the passphrase.' : '`freehold updates key create` makes one that can.'
    throw new CliError(exitCodes.usage, `${file} cannot be read as a private key.`, action)
  }
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new CliError(exitCodes.usage, `${file} is no ed25519 key.`, '`freehold updates key create` makes one.')
  }
  return { ...nameOf(createPublicKey(privateKey)), privateKey }
}

/** The first line of the passphrase file, or what is asked for at the terminal. */
export async function readPassphrase(
  io: Io,
  { file, passphraseFile }: { file: string; passphraseFile: string | undefined },
): Promise<string> {
  if (passphraseFile !== undefined) return (await readTextFile(passphraseFile)).split(/\r?\n/, 1)[0] ?? ''
  if (io.prompts === null) {
    throw new CliError(
      exitCodes.usage,
      `${file} needs a passphrase.`,
      'Name a file that holds it with --passphrase-file.',
    )
  }
  return io.prompts.password(`Passphrase of ${file}`)
}

/** A public key given as 64 hexadecimal digits, or as the `.pub` file that holds them. */
export async function readPublicKey(text: string): Promise<NamedKey> {
  const hex = /^[0-9a-f]{64}$/.test(text) ? text : (await readTextFile(text)).trim()
  if (!/^[0-9a-f]{64}$/.test(hex)) {
    throw new CliError(
      exitCodes.usage,
      `${text} holds no public key.`,
      'Give 64 hexadecimal digits, or the .pub file beside a key.',
    )
  }
  return named({ keytype: 'ed25519', scheme: 'ed25519', keyval: { public: hex } })
}

/** Adds a signature by each of the keys, in place of an older one by the same key. */
export function addSignatures<Signed>(
  metadata: { signed: Signed; signatures: { keyid: string; sig: string }[] },
  keys: readonly SigningKey[],
): { signed: Signed; signatures: { keyid: string; sig: string }[] } {
  const bytes = Buffer.from(canonicalSignedJson(metadata.signed))
  const added = keys.map(({ keyid, privateKey }) => ({ keyid, sig: sign(null, bytes, privateKey).toString('hex') }))
  const others = metadata.signatures.filter(({ keyid }) => added.every((each) => each.keyid !== keyid))
  return { signed: metadata.signed, signatures: [...others, ...added] }
}

/** Writes a file that is not there yet, down to the disk. */
export async function writeNew(file: string, text: string, mode: number): Promise<void> {
  try {
    await using handle = await open(file, 'wx', mode)
    await handle.writeFile(text)
    await handle.sync()
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new CliError(
      exitCodes.usage,
      isThere ? `${file} is there already.` : `${file} cannot be written: ${(error as Error).message}`,
      isThere ? 'Name another file; this one is left as it is.' : 'Check its directory and that you may write there.',
    )
  }
}

function nameOf(publicKey: KeyObject): NamedKey {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return named({ keytype: 'ed25519', scheme: 'ed25519', keyval: { public: der.subarray(-32).toString('hex') } })
}

/** Hexadecimal SHA-256 of the key's canonical JSON, as securesystemslib makes ids. */
function named(key: PublicKey): NamedKey {
  return { keyid: createHash('sha256').update(canonicalSignedJson(key)).digest('hex'), key }
}
