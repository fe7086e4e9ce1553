/** A small signed channel for tests: everything published is signed at once, assignments by a real ed25519 key. */
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import type { Assignment, SignedAssignment } from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import type { ReleaseFile } from '../updates/index.ts'
import type { UpdatesChannel } from './index.ts'
import { canonicalJson } from './manifest.ts'

export function createTestChannel(options: { keyIsHere?: boolean } = {}) {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const published = new Map<string, readonly ReleaseFile[]>()
  let onPublished: (transaction: Transaction, releaseIds: readonly string[]) => Promise<void> = async () => {}
  const updates: UpdatesChannel = {
    async publish(transaction, { releaseId, files }) {
      published.set(releaseId, files)
      if (options.keyIsHere !== false) await onPublished(transaction, [releaseId])
    },
    async withdraw(_transaction, releaseId) {
      published.delete(releaseId)
    },
  }
  return {
    updates,
    published,
    connect(noun: { onPublished: typeof onPublished }) {
      onPublished = noun.onPublished
    },
    async signAssignment(signed: Assignment): Promise<SignedAssignment> {
      const sig = sign(null, Buffer.from(canonicalJson(signed)), privateKey).toString('hex')
      return { signed, signatures: [{ keyid: 'test', sig }] }
    },
    /** The assignment, if its signature holds. */
    verified({ signed, signatures }: SignedAssignment): Assignment | undefined {
      const sig = Buffer.from(signatures[0]?.sig ?? '', 'hex')
      return verify(null, Buffer.from(canonicalJson(signed)), publicKey, sig) ? signed : undefined
    },
  }
}
