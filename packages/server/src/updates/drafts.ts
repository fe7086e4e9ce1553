import { canonicalSignedJson, FreeholdError, type SignedMetadata } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { type Current, putMetadata, readCurrent } from './current.ts'
import { type Keyring, signWith, soundSignatures } from './keys.ts'
import { headOf, keysOf, lifeMs, meetsThreshold, type Targets, versionAfter } from './metadata.ts'
import type { Repository } from './repository.ts'
import { desiredTargets } from './target-files.ts'

const day = 86_400_000
/** How long a draft may be under way to those who sign it. */
const draftLifeMs = 7 * day

/**
 * Targets metadata that are signed elsewhere. A draft is a function of what is stored and of a day: nothing is kept
 * of it, and what comes back must be that very draft.
 */
export function createDrafts(options: { keyring: Keyring; repository: Repository; now: () => number }) {
  const { keyring, repository, now } = options
  const today = () => Math.floor(now() / day) * day

  async function make(reads: Reads): Promise<SignedMetadata> {
    const current = await readCurrent(reads)
    return { signed: { ...(await draftOn(reads, { current, dayMs: today() })).signed }, signatures: [] }
  }

  /** Throws `conflict` for anything but a draft of the last days, signed by the role's threshold. */
  async function publish(transaction: Transaction, given: SignedMetadata): Promise<void> {
    const current = await repository.settle(transaction)
    const expires = typeof given.signed.expires === 'string' ? Date.parse(given.signed.expires) : Number.NaN
    const dayMs = expires - lifeMs.targets
    if (!(dayMs % day === 0 && dayMs <= today() && dayMs >= today() - draftLifeMs)) throw notTheDraft()
    const { signed, desired } = await draftOn(transaction, { current, dayMs })
    if (canonicalOf(given.signed) !== canonicalSignedJson(signed)) throw notTheDraft()
    const root = current.root.signed
    const named = (await keyring.usable(transaction, 'targets')).filter(({ data }) =>
      root.roles.targets.keyids.includes(data.keyid),
    )
    const all = [...given.signatures, ...signWith(keyring.open(named), signed)]
    const signatures = soundSignatures(signed, all, keysOf(root, 'targets'))
    if (!meetsThreshold(root, 'targets', { signed, signatures })) {
      const { keyids, threshold } = root.roles.targets
      throw new FreeholdError(
        'conflict',
        `${signatures.length} of ${threshold} signatures are there. Sign the draft with more of: ${keyids.join(', ')}.`,
      )
    }
    await putMetadata(transaction, { signed, signatures })
    await repository.published(transaction, desired)
    await repository.settle(transaction)
  }

  async function draftOn(reads: Reads, { current, dayMs }: { current: Current; dayMs: number }) {
    const before = current.targets?.signed
    const desired = await desiredTargets(reads, {
      current: before?.targets ?? {},
      assignmentKeys: await keyring.held(reads, 'assignment'),
    })
    const version = versionAfter(before?.version ?? 0, dayMs)
    const signed: Targets = { ...headOf('targets', { version, nowMs: dayMs }), targets: desired.targets }
    return { signed, desired }
  }

  return { make, publish }
}

function canonicalOf(value: unknown): string | undefined {
  try {
    return canonicalSignedJson(value)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

function notTheDraft(): FreeholdError {
  return new FreeholdError(
    'conflict',
    'These are not the targets to be signed now: releases, keys or the version have changed since, or the draft is older than 7 days. Get the draft again and sign that.',
  )
}
