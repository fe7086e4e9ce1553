import type { QuotaPassed } from '../images/index.ts'
import { RegistryError } from './errors.ts'

/**
 * The refusal of a push over quota: DENIED (OCI Distribution 1.1, code-12) and not TOOMANYREQUESTS, which would have
 * clients try again.
 */
export function quotaError({ repository, usedBytes, quotaBytes, addedBytes }: QuotaPassed): RegistryError {
  const who = repository === null ? 'The registry' : `The repository ${repository}`
  return new RegistryError(
    'quota-exceeded',
    `${who} would pass its quota: it holds ${inWords(usedBytes)} of ${inWords(quotaBytes)}, and this needs ${inWords(addedBytes)} more. Delete what is not needed any more and let garbage collection take it, or have the quota raised.`,
    { detail: { repository, usedBytes, quotaBytes, neededBytes: addedBytes } },
  )
}

/** Bytes for people, in powers of 1024. */
function inWords(sizeBytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, sizeBytes)) / 10)))
  return `${unit === 0 ? sizeBytes : (sizeBytes / 1024 ** unit).toFixed(1)} ${units[unit]}`
}
