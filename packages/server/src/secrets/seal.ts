import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { FreeholdError, Secret } from '@freehold/contracts'

/** Encrypts small secrets for the store. */
export interface Sealer {
  /** Text that holds the value encrypted; only the same `owner` (an id, say) opens it again. */
  seal(value: Secret, owner: string): string
  /** Throws `conflict` where it was sealed with another key, for another owner, or is damaged. */
  open(sealed: string, owner: string): Secret
}

const version = 'v1'
const nonceBytes = 12
const tagBytes = 16

/**
 * AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits a value. The owner is authenticated with it, so that a
 * sealed value moved to another row does not open there.
 */
export function createSealer(key: Secret<Buffer>): Sealer {
  return {
    seal(value, owner) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key.reveal(), nonce)
      cipher.setAAD(Buffer.from(owner))
      const body = Buffer.concat([cipher.update(value.reveal(), 'utf8'), cipher.final()])
      return `${version}.${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`
    },
    open(sealed, owner) {
      const [prefix, text = ''] = sealed.split('.')
      const bytes = Buffer.from(text, 'base64url')
      if (prefix !== version || bytes.length < nonceBytes + tagBytes) throw unreadable()
      const decipher = createDecipheriv('aes-256-gcm', key.reveal(), bytes.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      })
      decipher.setAAD(Buffer.from(owner))
      decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
      try {
        const body = bytes.subarray(nonceBytes + tagBytes)
        return new Secret(Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8'))
      } catch (cause) {
        throw unreadable(cause)
      }
    },
  }
}

function unreadable(cause?: unknown): FreeholdError {
  return new FreeholdError(
    'conflict',
    'A stored secret cannot be decrypted: it was written under another APP_SECRET or key file, or is damaged. Restore the key, or set the secret again.',
    { cause },
  )
}
