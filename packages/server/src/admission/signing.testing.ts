/**
 * Signatures as cosign lays them out, made by `node:crypto`: cosign itself is not run here. The layouts are those of
 * its SIGNATURE_SPEC (payload, annotation, tag), of its BUNDLE_SPEC (referrer) and of protobuf-specs (bundle, envelope).
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { preAuthenticationEncoding } from './bundle.ts'
import { signatureAnnotation, simpleSigningType } from './simple-signing.ts'

export interface Signer {
  /** PEM, as in `cosign.pub`. */
  publicKey: string
  sign(message: Uint8Array): Buffer
}

export type SignerKind = 'p256' | 'p384' | 'p384-sha256' | 'p521' | 'rsa' | 'ed25519'

export function makeSigner(kind: SignerKind = 'p256'): Signer {
  const { pair, hash } = makePair(kind)
  return {
    publicKey: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sign: (message) => sign(hash, message, pair.privateKey),
  }
}

function makePair(kind: SignerKind): { pair: { publicKey: KeyObject; privateKey: KeyObject }; hash: string | null } {
  switch (kind) {
    case 'p256':
      return { pair: generateKeyPairSync('ec', { namedCurve: 'P-256' }), hash: 'sha256' }
    case 'p384':
      return { pair: generateKeyPairSync('ec', { namedCurve: 'P-384' }), hash: 'sha384' }
    case 'p384-sha256':
      return { pair: generateKeyPairSync('ec', { namedCurve: 'P-384' }), hash: 'sha256' }
    case 'p521':
      return { pair: generateKeyPairSync('ec', { namedCurve: 'P-521' }), hash: 'sha512' }
    case 'rsa':
      return { pair: generateKeyPairSync('rsa', { modulusLength: 2048 }), hash: 'sha256' }
    case 'ed25519':
      return { pair: generateKeyPairSync('ed25519'), hash: null }
  }
}

/** A manifest and the blobs it names, to be pushed. */
export interface Artifact {
  manifest: string
  digest: string
  blobs: Buffer[]
}

export interface Layer {
  mediaType: string
  content: Buffer
  annotations?: Record<string, string>
}

export function simplePayload(digest: string, optional: Record<string, unknown> | null = null): Buffer {
  const image = { 'docker-manifest-digest': digest }
  const identity = { 'docker-reference': 'registry.example/web' }
  const critical = { identity, image, type: 'cosign container image signature' }
  return Buffer.from(JSON.stringify({ critical, optional }))
}

export function simpleLayer(
  signer: Signer,
  payload: Buffer,
  signature = signer.sign(payload).toString('base64'),
): Layer {
  return { mediaType: simpleSigningType, content: payload, annotations: { [signatureAnnotation]: signature } }
}

/** What lies at the tag `sha256-<hex>.sig`; with a subject, as a referrer. */
export function signatureArtifact(layers: readonly Layer[], subject?: Descriptor): Artifact {
  if (subject === undefined) return artifact({ layers, configType: 'application/vnd.oci.image.config.v1+json' })
  const type = 'application/vnd.dev.cosign.artifact.sig.v1+json'
  return artifact({ layers, configType: type, extra: { artifactType: type, subject } })
}

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json'

/** A Sigstore bundle as cosign 3 makes it with a key. `statement` replaces parts of what is signed. */
export function bundleOf(signer: Signer, digest: string, statement: Record<string, unknown> = {}): Buffer {
  const [algorithm = '', hex = ''] = digest.split(':')
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { [algorithm]: hex }, annotations: {} }],
      predicateType: 'https://sigstore.dev/cosign/sign/v1',
      predicate: {},
      ...statement,
    }),
  )
  const payloadType = 'application/vnd.in-toto+json'
  const sig = signer.sign(preAuthenticationEncoding(payloadType, payload)).toString('base64')
  return Buffer.from(
    JSON.stringify({
      mediaType: bundleType,
      verificationMaterial: { publicKey: { hint: 'aGludA==' } },
      dsseEnvelope: { payload: payload.toString('base64'), payloadType, signatures: [{ sig, keyid: 'aGludA==' }] },
    }),
  )
}

export function bundleArtifact(bundle: Buffer, subject: Descriptor): Artifact {
  return artifact({
    layers: [{ mediaType: bundleType, content: bundle }],
    configType: 'application/vnd.oci.empty.v1+json',
    extra: { artifactType: bundleType, subject, annotations: { 'dev.sigstore.bundle.content': 'dsse-envelope' } },
  })
}

/** Where cosign puts the signatures of a digest. */
export function signatureTag(digest: string): string {
  return `${digest.replace(':', '-')}.sig`
}

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
}

export function artifact(parts: { layers: readonly Layer[]; configType: string; extra?: object }): Artifact {
  const config = Buffer.from('{}')
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: parts.configType, digest: digestOf(config), size: config.length },
    layers: parts.layers.map(({ mediaType, content, annotations }) => ({
      mediaType,
      digest: digestOf(content),
      size: content.length,
      ...(annotations === undefined ? {} : { annotations }),
    })),
    ...parts.extra,
  })
  return { manifest, digest: digestOf(manifest), blobs: [config, ...parts.layers.map(({ content }) => content)] }
}

export function digestOf(content: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
