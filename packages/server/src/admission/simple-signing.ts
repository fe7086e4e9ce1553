import { z } from 'zod'
import type { Demand } from './demand.ts'
import { type Finding, missingAnnotation, parseJson } from './finding.ts'
import { decodeBase64, signerOf } from './keys.ts'

export const simpleSigningType = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const signatureAnnotation = 'dev.cosignproject.cosign/signature'
export const payloadLimitBytes = 64 * 1024
export const signatureLimitBytes = 4096

const payloadSchema = z.object({
  critical: z.object({
    image: z.object({ 'docker-manifest-digest': z.string() }),
    type: z.literal('cosign container image signature'),
  }),
  optional: z.record(z.string(), z.unknown()).nullish(),
})

/**
 * Verifies one signature of cosign's first layout (cosign SIGNATURE_SPEC, "Simple Signing"): the payload is what was
 * signed, and it must name the digest. Its docker-reference is ignored, as that specification says. Pure.
 */
export function verifySimpleSigning(
  { payload, signature }: { payload: Uint8Array; signature: unknown },
  demand: Demand,
): Finding {
  const bytes = decodeBase64(signature, signatureLimitBytes)
  if (bytes === undefined) return { refused: 'its signature is not base64' }
  const signer = signerOf({ message: payload, signature: bytes }, demand.keys)
  if (signer === undefined) return { refused: 'it is by none of the keys' }
  const parsed = payloadSchema.safeParse(parseJson(payload))
  if (!parsed.success) return { refused: 'what was signed is no cosign image signature' }
  const { critical, optional } = parsed.data
  if (critical.image['docker-manifest-digest'] !== demand.digest) return { refused: 'it was made for another digest' }
  const missing = missingAnnotation(optional ?? {}, demand.annotations)
  return missing === undefined ? { signer } : { refused: `it does not say ${missing}` }
}
