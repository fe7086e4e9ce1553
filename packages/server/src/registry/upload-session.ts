import { createHmac, timingSafeEqual } from 'node:crypto'
import { RegistryError } from './errors.ts'

/** Names uploads so that one begun in a repository cannot be continued in another. */
export interface UploadSessions {
  /** The last part of an upload's path: all its state, since some clients drop a query string. */
  seal(repository: string, id: string): string
  /** The upload's id. Throws `upload-unknown` for a session of another repository or one nobody gave out. */
  unseal(repository: string, session: string): string
}

/** `<uuid>.<MAC over repository and uuid>`: nothing is stored, and it holds across restarts and replicas. */
export function createUploadSessions({ key }: { key: string | Uint8Array }): UploadSessions {
  const mac = (repository: string, id: string) =>
    createHmac('sha256', key).update(`${repository}\n${id}`).digest('base64url').slice(0, 22)
  return {
    seal: (repository, id) => `${id}.${mac(repository, id)}`,
    unseal(repository, session) {
      const [id = '', given = '', ...more] = session.split('.')
      const expected = Buffer.from(mac(repository, id))
      const actual = Buffer.from(given)
      if (more.length > 0 || actual.length !== expected.length || !timingSafeEqual(actual, expected)) {
        throw new RegistryError('upload-unknown', 'This repository has no such upload.')
      }
      return id
    },
  }
}
