import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { FreeholdError } from '@freehold/contracts'
import { createSemaphore } from '../semaphore.ts'

const argon2Async = promisify(argon2)
/** OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. */
const parameters = { memoryKiB: 19_456, passes: 2, parallelism: 1 }
const saltBytes = 16
const tagBytes = 32
/** Each takes 19 MiB and a core: more at once would only take both from everything else. */
const maxRunning = 2
const maxWaiting = 64
const phc = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{8,88})\$([A-Za-z0-9+/]{16,88})$/

export interface Passwords {
  /** argon2id (RFC 9106) in PHC string form. Throws `unavailable` when too many wait. */
  hash(password: string): Promise<string>
  /**
   * Whether the password is the one hashed; without a hash it works as long and answers false, so that the time
   * does not tell whether a user exists. Throws `unavailable` when too many wait.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>
}

/** Hashes passwords beside the main thread, a few at a time. */
export function createPasswords(): Passwords {
  const limited = createLimit()
  const nobodysHash = phcOf(randomBytes(saltBytes), randomBytes(tagBytes))
  return {
    async hash(password) {
      const salt = randomBytes(saltBytes)
      return phcOf(salt, await limited(() => derive(password, { ...parameters, salt, tagBytes })))
    },
    async verify(password, hash) {
      const match = phc.exec(hash ?? nobodysHash)
      if (match === null) throw new Error('A stored password hash is not argon2id in PHC form.')
      const [, memory, passes, lanes, salt = '', tag = ''] = match
      const expected = Buffer.from(tag, 'base64')
      const actual = await limited(() =>
        derive(password, {
          memoryKiB: Number(memory),
          passes: Number(passes),
          parallelism: Number(lanes),
          salt: Buffer.from(salt, 'base64'),
          tagBytes: expected.length,
        }),
      )
      return timingSafeEqual(actual, expected) && hash !== undefined
    },
  }
}

function derive(
  password: string,
  options: { memoryKiB: number; passes: number; parallelism: number; salt: Buffer; tagBytes: number },
): Promise<Buffer> {
  return argon2Async('argon2id', {
    // Composed and decomposed forms of a letter are the same password (NIST SP 800-63B §3.1.1.2).
    message: password.normalize('NFKC'),
    nonce: options.salt,
    memory: options.memoryKiB,
    passes: options.passes,
    parallelism: options.parallelism,
    tagLength: options.tagBytes,
  })
}

function phcOf(salt: Buffer, tag: Buffer): string {
  const { memoryKiB, passes, parallelism } = parameters
  const base64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${parallelism}$${base64(salt)}$${base64(tag)}`
}

/** Throws `unavailable` when too many wait. */
function createLimit(): <T>(work: () => Promise<T>) => Promise<T> {
  const turns = createSemaphore(maxRunning)
  return async (work) => {
    if (turns.waiting() >= maxWaiting) {
      throw new FreeholdError('unavailable', 'Too many people sign in at once; try again in a moment.', {
        retryAfterSeconds: 5,
      })
    }
    const leave = await turns.enter()
    try {
      return await work()
    } finally {
      leave()
    }
  }
}
