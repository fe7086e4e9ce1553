import { hash } from 'node:crypto'
import { FreeholdError } from '@freehold/contracts'
import type { AnyKind } from './store.ts'

/**
 * A fingerprint of how a kind's keys are computed. When it differs from the one kept with the data, the keys of all
 * its resources are computed anew at the start. Functions are compared by their source text, so a change inside a
 * helper they call needs a change in the function too.
 */
export function keyFingerprint(kind: AnyKind): string {
  const parts = [kind.indexes, kind.unique].map((functions) =>
    Object.entries(functions)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, compute]) => [name, String(compute)]),
  )
  return hash('sha256', JSON.stringify(parts), 'hex')
}

/** The refusal to start when two stored resources would share a key that is to be unique from now on. */
export function cannotReindex(kind: AnyKind, name: string, ids: readonly string[]): FreeholdError {
  return new FreeholdError(
    'conflict',
    `The ${kind.plural} ${ids.join(' and ')} have the same ${name}, which must be unique now. Change one of them with the version before, then start again.`,
  )
}

/** The refusal to open data of a newer version of the program. */
export function schemaTooNew(where: string, found: number, known: number): FreeholdError {
  return new FreeholdError(
    'conflict',
    `The store in ${where} has schema ${found}, this version knows up to ${known}. Start the newer version that wrote it, or restore a backup from before the upgrade.`,
  )
}
