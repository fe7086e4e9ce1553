import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSealer, Secret } from './index.ts'

const sealer = createSealer(new Secret(randomBytes(32)))

test('what was sealed opens again for the same owner, and never shows in what is stored', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 8 }), fc.uuid(), (value, owner) => {
      const sealed = sealer.seal(new Secret(value), owner)
      expect(sealed).not.toContain(value)
      expect(Buffer.from(sealed.slice(3), 'base64url').includes(Buffer.from(value))).toBe(false)
      expect(sealer.open(sealed, owner).reveal()).toBe(Buffer.from(value).toString('utf8'))
    }),
  )
})

test('two seals of one value differ', () => {
  expect(sealer.seal(new Secret('same'), 'a')).not.toBe(sealer.seal(new Secret('same'), 'a'))
})

test('another owner, another key and any changed byte are refused', () => {
  const sealed = sealer.seal(new Secret('hunter2'), 'a')
  expect(() => sealer.open(sealed, 'b')).toThrow(/cannot be decrypted/)
  expect(() => createSealer(new Secret(randomBytes(32))).open(sealed, 'a')).toThrow(/cannot be decrypted/)
  const bytes = Buffer.from(sealed.slice(3), 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    expect(() => sealer.open(`v1.${changed.toString('base64url')}`, 'a')).toThrow(/cannot be decrypted/)
  }
  expect(() => sealer.open('v1.', 'a')).toThrow(/cannot be decrypted/)
  expect(() => sealer.open(sealed.replace('v1', 'v2'), 'a')).toThrow(/cannot be decrypted/)
})
