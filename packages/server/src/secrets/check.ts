import { FreeholdError, installationKind } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { ServerSecret } from './server-secret.ts'

const actor: Actor = { type: 'system', id: 'secret-check', name: 'secret check' }

/**
 * Makes certain that the store was made with this very secret, noting it at the first start: another one would let
 * everything start, and then read no credential it keeps. Throws `conflict` with what to do;
 * `acceptNew` takes the secret as the one from now on.
 */
export async function checkServerSecret(options: {
  store: Store
  secret: ServerSecret
  acceptNew: boolean
  log: { warn(fields: object, message: string): void }
}): Promise<void> {
  const { store, secret, acceptNew, log } = options
  const data = { secretCheck: secret.deriveKey('secret check', 16).reveal().toString('hex') }
  await store.transaction(actor, async (transaction) => {
    const known = await transaction.find(installationKind, 'one', 'one')
    if (known === undefined) await transaction.create(installationKind, { data })
    else if (known.data.secretCheck !== data.secretCheck) {
      if (!acceptNew) throw otherSecret()
      log.warn({}, 'the secret of this installation is another one from now on')
      await transaction.update(installationKind, known.id, { data })
    }
  })
}

function otherSecret(): FreeholdError {
  return new FreeholdError(
    'conflict',
    'APP_SECRET, or secret.key in the data directory, is not the secret this store was made with. Set or restore that one. If it is lost for good, start once with FREEHOLD_ACCEPT_NEW_SECRET=on: credentials kept encrypted must then be entered again.',
  )
}
