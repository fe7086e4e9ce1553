import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { admissionSchema } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { verifyBundle } from './bundle.ts'
import { checkAdmission, type Demand, demandOf } from './demand.ts'
import { decodeBase64, readKey, signerOf } from './keys.ts'
import { bundleOf, digestOf, makeSigner, type Signer, type SignerKind, simplePayload } from './signing.testing.ts'
import { verifySimpleSigning } from './simple-signing.ts'

const digest = digestOf('an image')
const alice = makeSigner()
const bob = makeSigner()
const pemOf = ({ publicKey }: { publicKey: KeyObject }) => publicKey.export({ type: 'spki', format: 'pem' }).toString()
const weakKeys = {
  rsa1024: pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 })),
  x25519: pemOf(generateKeyPairSync('x25519')),
  secp256k1: pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })),
}
const demand = (keys: readonly Signer[], part: Partial<Demand> = {}): Demand => ({
  ...demandOf(admissionSchema.parse({ signedBy: keys.map(({ publicKey }) => publicKey) }), digest),
  ...part,
})
const signed = (signer: Signer, payload: Buffer) => ({ payload, signature: signer.sign(payload).toString('base64') })

describe.each<SignerKind>(['p256', 'p384', 'p384-sha256', 'p521', 'rsa', 'ed25519'])('a key of %s', (kind) => {
  const signer = makeSigner(kind)
  it('signs in both layouts, and no other key does', () => {
    expect(verifySimpleSigning(signed(signer, simplePayload(digest)), demand([signer]))).toHaveProperty('signer')
    expect(verifyBundle(bundleOf(signer, digest), demand([signer]))).toHaveProperty('signer')
    const another = demand([makeSigner(kind)])
    expect(verifySimpleSigning(signed(signer, simplePayload(digest)), another)).toEqual({
      refused: 'it is by none of the keys',
    })
    expect(verifyBundle(bundleOf(signer, digest), another)).toEqual({ refused: 'it is by none of the keys' })
  })
})

describe('a signature', () => {
  it('counts where it is by any one of the keys', () => {
    expect(verifySimpleSigning(signed(bob, simplePayload(digest)), demand([alice, bob]))).toHaveProperty('signer')
  })

  it('is accepted whatever repository it names: the digest says what runs', () => {
    const payload = Buffer.from(simplePayload(digest).toString().replace('registry.example/web', 'elsewhere/other'))
    expect(verifySimpleSigning(signed(alice, payload), demand([alice]))).toHaveProperty('signer')
  })

  it('does not count for another digest', () => {
    const other = { refused: 'it was made for another digest' }
    expect(verifySimpleSigning(signed(alice, simplePayload(digestOf('old'))), demand([alice]))).toEqual(other)
    expect(verifyBundle(bundleOf(alice, digestOf('old')), demand([alice]))).toEqual(other)
    const renamed = { subject: [{ digest: { sha512: digest.slice(7) } }] }
    expect(verifyBundle(bundleOf(alice, digest, renamed), demand([alice]))).toEqual(other)
  })

  it.each([
    ['something else that was signed', Buffer.from('a text')],
    ['another type', Buffer.from(simplePayload(digest).toString().replace('cosign container image signature', 'x'))],
    ['no digest', Buffer.from('{"critical":{"image":{},"type":"cosign container image signature"}}')],
    ['null', Buffer.from('null')],
  ])('does not count where it says %s', (_what, payload) => {
    expect(verifySimpleSigning(signed(alice, payload), demand([alice]))).toEqual({
      refused: 'what was signed is no cosign image signature',
    })
  })

  it('must say every annotation that is demanded, exactly', () => {
    const wanted = demand([alice], { annotations: { stage: 'production', team: 'web' } })
    const said = { stage: 'production', team: 'web', more: 1 }
    const missing = { refused: 'it does not say team=web' }
    expect(verifySimpleSigning(signed(alice, simplePayload(digest, said)), wanted)).toHaveProperty('signer')
    const wrong = simplePayload(digest, { stage: 'production', team: ['web'] })
    expect(verifySimpleSigning(signed(alice, wrong), wanted)).toEqual(missing)
    expect(verifySimpleSigning(signed(alice, simplePayload(digest)), wanted)).toHaveProperty('refused')
    const subject = (annotations: object) => ({ subject: [{ digest: { sha256: digest.slice(7) }, annotations }] })
    expect(verifyBundle(bundleOf(alice, digest, subject(said)), wanted)).toHaveProperty('signer')
    expect(verifyBundle(bundleOf(alice, digest, subject({ stage: 'production' })), wanted)).toEqual(missing)
    const inherited = demand([alice], { annotations: { constructor: 'Object' } })
    expect(verifySimpleSigning(signed(alice, simplePayload(digest)), inherited)).toHaveProperty('refused')
  })
})

describe('a bundle', () => {
  it('with an attestation by the key is no signature', () => {
    const sbom = bundleOf(alice, digest, { predicateType: 'https://spdx.dev/Document' })
    expect(verifyBundle(sbom, demand([alice]))).toEqual({ refused: 'it is an attestation, not a signature' })
  })

  it('has exactly one signature, over its very payload type', () => {
    const change = (edit: (envelope: { payloadType: string; signatures: unknown[] }) => void) => {
      const bundle = JSON.parse(bundleOf(alice, digest).toString())
      edit(bundle.dsseEnvelope)
      return verifyBundle(Buffer.from(JSON.stringify(bundle)), demand([alice]))
    }
    expect(change((envelope) => envelope.signatures.push(envelope.signatures[0]))).toHaveProperty('refused')
    expect(change((envelope) => envelope.signatures.pop())).toHaveProperty('refused')
    expect(
      change((envelope) => {
        envelope.payloadType = 'text/plain'
      }),
    ).toEqual({ refused: 'it is by none of the keys' })
    expect(change(() => {})).toHaveProperty('signer')
  })

  it('with a message signature is not read', () => {
    const bundle = { mediaType: 'x', messageSignature: { signature: alice.sign(Buffer.from('x')).toString('base64') } }
    expect(verifyBundle(Buffer.from(JSON.stringify(bundle)), demand([alice]))).toEqual({
      refused: 'its bundle holds no DSSE envelope',
    })
  })
})

describe('whatever the bytes are', () => {
  it('one changed bit makes a signature count no more', () => {
    const payload = simplePayload(digest)
    const { signature } = signed(alice, payload)
    const bytes = Buffer.from(signature, 'base64')
    const flip = (of: Buffer, at: number) => {
      const copy = Buffer.from(of)
      const index = Math.floor(at / 8) % copy.length
      copy[index] = (copy[index] ?? 0) ^ (1 << (at % 8))
      return copy
    }
    const bit = fc.nat({ max: 8 * 4096 })
    fc.assert(
      fc.property(bit, bit, (one, other) => {
        expect(verifySimpleSigning({ payload: flip(payload, one), signature }, demand([alice]))).toHaveProperty(
          'refused',
        )
        const bent = flip(bytes, other).toString('base64')
        expect(verifySimpleSigning({ payload, signature: bent }, demand([alice]))).toHaveProperty('refused')
      }),
      { numRuns: 300 },
    )
  })

  it('nothing but a signature counts, and nothing throws', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(anything, fc.oneof(fc.string(), fc.base64String(), fc.anything()), (payload, signature) => {
        expect(verifySimpleSigning({ payload, signature }, demand([alice]))).toHaveProperty('refused')
        expect(verifyBundle(payload, demand([alice]))).toHaveProperty('refused')
      }),
      { numRuns: 500 },
    )
  })

  it('a bundle with any part replaced does not count, and does not throw', () => {
    const whole = JSON.parse(bundleOf(alice, digest).toString())
    const envelope = fc.record(
      {
        payload: fc.oneof(fc.constant(whole.dsseEnvelope.payload), fc.base64String(), fc.anything()),
        payloadType: fc.oneof(fc.constant('application/vnd.in-toto+json'), fc.anything()),
        signatures: fc.oneof(fc.constant([{ sig: 'AAAA' }]), fc.array(fc.anything()), fc.anything()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(envelope, (dsseEnvelope) => {
        const text = JSON.stringify({ ...whole, dsseEnvelope }, (_key, value) =>
          typeof value === 'bigint' ? String(value) : value,
        )
        expect(verifyBundle(Buffer.from(text), demand([alice]))).toHaveProperty('refused')
      }),
      { numRuns: 300 },
    )
  })

  it('decodes what base64 encodes, and only that', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
        expect(decodeBase64(Buffer.from(bytes).toString('base64'), 100)).toEqual(Buffer.from(bytes))
      }),
    )
    for (const bad of ['', 'A', 'AA==A', 'AAA_', 'AAA ', ' AAAA', null, 7])
      expect(decodeBase64(bad, 100)).toBeUndefined()
    expect(decodeBase64('A'.repeat(400), 100)).toBeUndefined()
  })
})

describe('a key', () => {
  it('is refused with the reason where it is none that signs images', () => {
    expect(readKey('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----')).toHaveProperty('fault')
    const faultOf = (pem: string) => (readKey(pem) as { fault?: string }).fault
    expect(faultOf(weakKeys.rsa1024)).toContain('2048')
    expect(faultOf(weakKeys.x25519)).toContain('x25519')
    expect(faultOf(weakKeys.secp256k1)).toContain('secp256k1')
  })

  it('of nobody signs nothing', () => {
    expect(signerOf({ message: Buffer.from('x'), signature: Buffer.alloc(64) }, [])).toBeUndefined()
  })

  it('is never a private one', () => {
    const parse = (pem: string) => admissionSchema.safeParse({ signedBy: [pem] }).success
    expect(parse(alice.publicKey)).toBe(true)
    expect(parse(`\n${alice.publicKey}\n`)).toBe(true)
    expect(parse(alice.publicKey.replaceAll('PUBLIC', 'PRIVATE'))).toBe(false)
    expect(parse(alice.publicKey + alice.publicKey)).toBe(false)
  })
})

describe('a rule', () => {
  const faults = (admission: object, imageVersion = 'latest') =>
    checkAdmission({ admission: admissionSchema.parse(admission), imageVersion }).map(({ path }) => path)
  it('is refused where it cannot hold', () => {
    expect(faults({ signedBy: [alice.publicKey, weakKeys.rsa1024] })).toEqual(['admission.signedBy.1'])
    expect(faults({ annotations: { stage: 'production' } })).toEqual(['admission.annotations'])
    expect(faults({ requireDigest: true })).toEqual(['imageVersion'])
    expect(faults({ requireDigest: true, signedBy: [alice.publicKey] }, digest)).toEqual([])
  })
})
