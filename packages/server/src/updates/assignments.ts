import type { Assignment, SignedAssignment } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { type Keyring, type Signer, signWith } from './keys.ts'

/** Another process may have made a newer key; the older one is good for a day longer than this. */
const rememberedMs = 30_000

/** Signs assignments with every assignment key that is here, so that devices that know any of them accept. */
export function createAssignmentSigner(options: {
  store: Store
  keyring: Keyring
  now: () => number
  /** Makes the first keys. */
  ensure: () => Promise<unknown>
}) {
  const { store, keyring, now, ensure } = options
  let known: { signers: Signer[]; atMs: number } | undefined

  async function signers(): Promise<Signer[]> {
    if (known !== undefined && Math.abs(now() - known.atMs) < rememberedMs) return known.signers
    let held = await keyring.held(store, 'assignment')
    if (held.length === 0) {
      await ensure()
      held = await keyring.held(store, 'assignment')
    }
    known = { signers: keyring.open(held), atMs: now() }
    return known.signers
  }

  return {
    async sign(assignment: Assignment): Promise<SignedAssignment> {
      const keys = await signers()
      // As it will be sent: without fields that are undefined.
      const signed = JSON.parse(JSON.stringify(assignment)) as Assignment
      return { signed, signatures: signWith(keys, signed) }
    },
    /** Keys have changed. */
    forget(): void {
      known = undefined
    },
  }
}
