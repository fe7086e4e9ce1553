import type { Admission, ErrorDetail, Service } from '@freehold/contracts'
import { readKey, type TrustedKey } from './keys.ts'

/** What a signature must fulfil. */
export interface Demand {
  /** The image's digest, `sha256:…` or `sha512:…`. */
  digest: string
  /** Any one of them. */
  keys: readonly TrustedKey[]
  /** What the signature must say besides; all of it. */
  annotations: Readonly<Record<string, string>>
}

/** Whether an image of this service needs a signature before anything of it is started. */
export function demandsSignature(data: Pick<Service['data'], 'admission'>): boolean {
  return data.admission !== undefined && data.admission.signedBy.length > 0
}

/** The faults of an admission rule that no schema of one field can see; paths begin at `admission`. */
export function checkAdmission(data: Pick<Service['data'], 'admission' | 'imageVersion'>): ErrorDetail[] {
  const { admission, imageVersion } = data
  if (admission === undefined) return []
  const faults = admission.signedBy.flatMap((pem, index): ErrorDetail[] => {
    const read = readKey(pem)
    return 'fault' in read ? [{ path: `admission.signedBy.${index}`, message: read.fault }] : []
  })
  if (Object.keys(admission.annotations).length > 0 && admission.signedBy.length === 0) {
    faults.push({ path: 'admission.annotations', message: 'signatures are read only where signedBy names a key' })
  }
  if (admission.requireDigest && !imageVersion.startsWith('sha256:')) {
    const message = `admission.requireDigest wants a digest here, and ${imageVersion} is a tag: give the sha256:… that may run`
    faults.push({ path: 'imageVersion', message })
  }
  return faults
}

/** The demand of a rule that was checked when it was written. */
export function demandOf(admission: Admission, digest: string): Demand {
  const keys = admission.signedBy.map(readKey).filter((read): read is TrustedKey => !('fault' in read))
  return { digest, keys, annotations: admission.annotations }
}
