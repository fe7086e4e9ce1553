import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { describeDamage, findingOf, tellsOfBrokenBytes } from './damage-rules.ts'
import { sha256 } from './testing.ts'

const digest = sha256('content')

describe('what is found', () => {
  it('is nothing where the bytes have the digest, whatever their names say', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat()), (sizeBytes, sizes) => {
        expect(findingOf(digest, { kind: 'read', sizeBytes, digest }, sizes)).toBeUndefined()
      }),
    )
  })

  it('is damage where they have another digest, and the size is blamed only where all names agree on one', () => {
    const other = sha256('other')
    fc.assert(
      fc.property(fc.nat(9), fc.array(fc.nat(9)), (sizeBytes, sizes) => {
        const finding = findingOf(digest, { kind: 'read', sizeBytes, digest: other }, sizes)
        const agreed = new Set(sizes).size === 1 ? (sizes[0] ?? null) : null
        expect(finding).toEqual({
          reason: agreed !== null && agreed !== sizeBytes ? 'size' : 'content',
          expectedBytes: agreed,
          foundBytes: sizeBytes,
          foundDigest: other,
        })
      }),
    )
  })

  it('says what is missing and what cannot be read', () => {
    expect(findingOf(digest, { kind: 'missing' }, [7])).toMatchObject({ reason: 'missing', expectedBytes: 7 })
    expect(findingOf(digest, { kind: 'unreadable' }, [])).toMatchObject({ reason: 'unreadable', expectedBytes: null })
  })
})

it('takes for damage what a disk says of its own bytes, not what may pass', () => {
  const error = (code: string) => Object.assign(new Error(code), { code, syscall: 'read' })
  expect(tellsOfBrokenBytes(error('EIO'))).toBe(true)
  expect(tellsOfBrokenBytes(new Error('outer', { cause: error('EUCLEAN') }))).toBe(true)
  for (const code of ['ECONNRESET', 'ETIMEDOUT', 'EMFILE', 'EACCES'])
    expect(tellsOfBrokenBytes(error(code))).toBe(false)
  expect(tellsOfBrokenBytes('EIO')).toBe(false)
})

it('says in a sentence what to push', () => {
  const finding = { reason: 'size', expectedBytes: 10, foundBytes: 4, foundDigest: sha256('x') } as const
  expect(describeDamage({ digest, images: ['team/web:1', 'team/web:2'], ...finding })).toBe(
    `The stored bytes of ${digest} are 4 instead of 10 bytes; they are not served. Push team/web:1, or one of 1 more, again to heal it.`,
  )
})
