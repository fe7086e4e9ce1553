import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { canonicalSignedJson, FreeholdError, type UpdateKey, type UpdateRole, updateKeyKind } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { type Sealer, Secret } from '../secrets/index.ts'

/** A public key as root metadata names it (TUF 1.0.34 §4.2). */
export interface PublicKey {
  keytype: 'ed25519'
  scheme: 'ed25519'
  keyval: { public: string }
}

export type KeyRole = UpdateRole | 'assignment'
export interface Signature {
  keyid: string
  sig: string
}
/** A private key that is open for use. */
export interface Signer {
  keyid: string
  key: KeyObject
}

/** DER of an ed25519 public key before its 32 bytes (RFC 8410 §4). */
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex')

export function publicKeyOf(publicHex: string): PublicKey {
  return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicHex } }
}

/** Hexadecimal SHA-256 of the key's canonical JSON, as securesystemslib makes ids. */
export function keyidOf(key: PublicKey): string {
  const { keytype, scheme, keyval } = key
  const text = canonicalSignedJson({ keytype, scheme, keyval: { public: keyval.public } })
  return createHash('sha256').update(text).digest('hex')
}

/** Signatures of all signers over the canonical JSON of `signed`. */
export function signWith(signers: readonly Signer[], signed: unknown): Signature[] {
  const bytes = Buffer.from(canonicalSignedJson(signed))
  return signers.map(({ keyid, key }) => ({ keyid, sig: sign(null, bytes, key).toString('hex') }))
}

/** Those of the signatures that these keys made, one a key. */
export function soundSignatures(
  signed: unknown,
  signatures: readonly Signature[],
  keys: Readonly<Record<string, PublicKey>>,
): Signature[] {
  const bytes = Buffer.from(canonicalSignedJson(signed))
  const sound = new Map<string, Signature>()
  for (const { keyid, sig } of signatures) {
    const key = Object.hasOwn(keys, keyid) ? keys[keyid] : undefined
    if (key === undefined || !/^[0-9a-f]{128}$/.test(sig)) continue
    if (verify(null, bytes, openPublic(key.keyval.public), Buffer.from(sig, 'hex'))) sound.set(keyid, { keyid, sig })
  }
  return [...sound.values()]
}

function openPublic(publicHex: string): KeyObject {
  return createPublicKey({ key: Buffer.concat([spkiHead, Buffer.from(publicHex, 'hex')]), format: 'der', type: 'spki' })
}

/**
 * The private keys that are here: made here, kept encrypted in the store, bound to their role and id, and never given
 * out but as signers.
 */
export function createKeyring({ sealer }: { sealer: Sealer }) {
  /** Oldest first. */
  const held = (reads: Reads, role: KeyRole): Promise<UpdateKey[]> => reads.all(updateKeyKind, { where: { role } })

  function isReadable({ data: { role, keyid, sealed } }: UpdateKey): boolean {
    try {
      sealer.open(sealed, ownerOf(role, keyid))
      return true
    } catch (error) {
      if (error instanceof FreeholdError) return false
      throw error
    }
  }

  return {
    async make(transaction: Transaction, role: KeyRole): Promise<UpdateKey> {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const publicHex = publicKey.export({ format: 'der', type: 'spki' }).subarray(spkiHead.length).toString('hex')
      const keyid = keyidOf(publicKeyOf(publicHex))
      const secret = new Secret(privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64'))
      return transaction.create(updateKeyKind, {
        data: { role, keyid, publicKey: publicHex, sealed: sealer.seal(secret, ownerOf(role, keyid)) },
      })
    },
    held,
    /** Those of them that this server's secret opens; the others were sealed with one that was lost. */
    async usable(reads: Reads, role: KeyRole): Promise<UpdateKey[]> {
      return (await held(reads, role)).filter(isReadable)
    },
    isReadable,
    /** Throws `conflict` where a key was sealed with another server secret. */
    open(rows: readonly UpdateKey[]): Signer[] {
      return rows.map(({ data: { role, keyid, sealed } }) => ({
        keyid,
        key: createPrivateKey({
          key: Buffer.from(sealer.open(sealed, ownerOf(role, keyid)).reveal(), 'base64'),
          format: 'der',
          type: 'pkcs8',
        }),
      }))
    },
  }
}
export type Keyring = ReturnType<typeof createKeyring>

function ownerOf(role: KeyRole, keyid: string): string {
  return `update-key/${role}/${keyid}`
}
