import { z } from 'zod'
import type { Demand } from './demand.ts'
import { type Finding, missingAnnotation, parseJson } from './finding.ts'
import { decodeBase64, signerOf } from './keys.ts'
import { signatureLimitBytes } from './simple-signing.ts'

export const bundleLimitBytes = 1024 * 1024

const inTotoType = 'application/vnd.in-toto+json'
const bundleSchema = z.object({
  dsseEnvelope: z.object({
    payload: z.string(),
    payloadType: z.string(),
    signatures: z.array(z.object({ sig: z.string() })).max(16),
  }),
})
const statementSchema = z.object({
  _type: z.enum(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  predicateType: z.string(),
  subject: z
    .array(
      z.object({
        digest: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.unknown()).nullish(),
      }),
    )
    .max(1000),
})
/** What `cosign sign` signs; a key also signs SBOMs and scans of an image, and none of these says that it may run. */
const signPredicate = 'https://sigstore.dev/cosign/sign/v1'

/** Whether a media type is one of a Sigstore bundle (protobuf-specs, `Bundle.media_type`). */
export function isBundleType(mediaType: string): boolean {
  return (
    mediaType === 'application/vnd.dev.sigstore.bundle.v0.3+json' ||
    /^application\/vnd\.dev\.sigstore\.bundle\+json;version=0\.[123]$/.test(mediaType)
  )
}

/**
 * Verifies a Sigstore bundle: a DSSE envelope with exactly one signature over an in-toto statement whose subject is the
 * digest (protobuf-specs `sigstore_bundle.proto` and `envelope.proto`). Its hints of keys, certificates, log entries
 * and timestamps prove nothing about a key that is known, and are not read. Pure.
 */
export function verifyBundle(bytes: Uint8Array, demand: Demand): Finding {
  const bundle = bundleSchema.safeParse(parseJson(bytes))
  if (!bundle.success) return { refused: 'its bundle holds no DSSE envelope' }
  const { payload: encoded, payloadType, signatures } = bundle.data.dsseEnvelope
  const payload = decodeBase64(encoded, bundleLimitBytes)
  const signature = decodeBase64(signatures[0]?.sig, signatureLimitBytes)
  if (signatures.length !== 1 || payload === undefined || signature === undefined) {
    return { refused: 'its envelope has not one payload and one signature in base64' }
  }
  const signer = signerOf({ message: preAuthenticationEncoding(payloadType, payload), signature }, demand.keys)
  if (signer === undefined) return { refused: 'it is by none of the keys' }
  const statement = payloadType === inTotoType ? statementSchema.safeParse(parseJson(payload)) : undefined
  if (statement?.success !== true) return { refused: 'what was signed is no in-toto statement' }
  return judgeStatement(statement.data, { signer, demand })
}

function judgeStatement(
  { predicateType, subject }: z.output<typeof statementSchema>,
  { signer, demand }: { signer: Extract<Finding, { signer: unknown }>['signer']; demand: Demand },
): Finding {
  if (predicateType !== signPredicate) return { refused: 'it is an attestation, not a signature' }
  const [algorithm = '', hex] = demand.digest.split(':')
  const named = subject.find(({ digest }) => Object.hasOwn(digest, algorithm) && digest[algorithm] === hex)
  if (named === undefined) return { refused: 'it was made for another digest' }
  const missing = missingAnnotation(named.annotations ?? {}, demand.annotations)
  return missing === undefined ? { signer } : { refused: `it does not say ${missing}` }
}

/** DSSE's PAE: what is signed, with lengths in bytes. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}
