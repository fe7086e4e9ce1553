import { type Admission, repositoryOfReference } from '@freehold/contracts'
import type { RegistryContent } from '../registry/index.ts'
import { type Demand, demandOf } from './demand.ts'
import type { Finding } from './finding.ts'
import { readSignatures, signaturesRead } from './signatures.ts'

/** Whether an image may run; a sentence for people either way. */
type Verdict = { admitted: boolean; message: string }

/** Reads signatures and answers. Rejects only where the store or the disk fails: then nothing is known. */
export type Judge = (image: {
  /** The service's rule as it is now. */
  admission: Admission | undefined
  /** Full reference, as a revision has it: `host/repository@sha256:…`. */
  reference: string
  /** Null where only a tag of another registry is known. */
  digest: string | null
}) => Promise<Verdict>

/** How many reasons a refusal names. */
const reasonsNamed = 3

export function createJudge(options: { content: RegistryContent; registryHost: () => string }): Judge {
  const { content, registryHost } = options
  return async ({ admission, reference, digest }) => {
    if (admission === undefined || admission.signedBy.length === 0) {
      return { admitted: true, message: 'No signature is demanded.' }
    }
    const name = repositoryOfReference(reference)
    const repository = name.slice(name.indexOf('/') + 1)
    if (digest === null || !(await content.holds(repository, digest))) {
      const isOurs = name.startsWith(`${registryHost()}/`)
      return { admitted: false, message: isOurs ? absent(reference) : elsewhere(name) }
    }
    const demand = demandOf(admission, digest)
    return verdictOf(await readSignatures(content, { repository, demand }), { demand, reference })
  }
}

/** One that counts is enough. */
function verdictOf(
  findings: readonly Finding[],
  { demand, reference }: { demand: Demand; reference: string },
): Verdict {
  const accepted = findings.find((finding) => 'signer' in finding)
  if (accepted !== undefined && 'signer' in accepted) {
    return { admitted: true, message: `Signed by the key ${short(accepted.signer.fingerprint)}.` }
  }
  const wanted = `by ${keysOf(demand)}${saying(demand)}`
  if (findings.length === 0) return refusal(`${demand.digest} has no signature; one ${wanted} is demanded.`, reference)
  const count = findings.length >= signaturesRead ? `first ${signaturesRead}` : String(findings.length)
  const what =
    findings.length === 1
      ? `The one signature of ${demand.digest} does not count`
      : `None of the ${count} signatures of ${demand.digest} counts`
  return refusal(`${what} (${reasonsOf(findings)}); one ${wanted} is demanded.`, reference)
}

function refusal(reason: string, reference: string): Verdict {
  return { admitted: false, message: `${reason} Sign it with \`cosign sign --key cosign.key ${reference}\`.` }
}

/** The most frequent first. */
function reasonsOf(findings: readonly Finding[]): string {
  const counts = new Map<string, number>()
  for (const finding of findings) {
    if ('refused' in finding) counts.set(finding.refused, (counts.get(finding.refused) ?? 0) + 1)
  }
  const named = [...counts].toSorted(([, one], [, other]) => other - one).slice(0, reasonsNamed)
  return named.map(([reason, count]) => (findings.length === 1 ? reason : `${count} ×: ${reason}`)).join('; ')
}

function keysOf({ keys }: Demand): string {
  const [first] = keys
  if (keys.length === 1 && first !== undefined) return `the key ${short(first.fingerprint)}`
  return `one of the ${keys.length} keys ${keys
    .slice(0, reasonsNamed)
    .map(({ fingerprint }) => short(fingerprint))
    .join(', ')}${keys.length > reasonsNamed ? ', …' : ''}`
}

function saying({ annotations }: Demand): string {
  const pairs = Object.entries(annotations).map(([key, value]) => `${key}=${value}`.slice(0, 60))
  if (pairs.length === 0) return ''
  return ` that says ${pairs.slice(0, reasonsNamed).join(', ')}${pairs.length > reasonsNamed ? ', …' : ''}`
}

function absent(reference: string): string {
  return `A signature is demanded, and ${reference} is not in the registry. Push it, then sign it.`
}

function elsewhere(name: string): string {
  return `A signature is demanded, and those of ${name} lie in another registry, where they are not looked for. Push the image to this registry and sign it here.`
}

function short(fingerprint: string): string {
  return fingerprint.slice(0, 16)
}
