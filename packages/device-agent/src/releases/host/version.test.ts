import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareVersions, isVersion, refusalOfVersion } from './version.ts'

describe('the order of versions', () => {
  test.each([
    ['of numbers (§11.2)', ['1.0.0', '2.0.0', '2.1.0', '2.1.1']],
    ['of a prerelease and its release (§11.3)', ['1.0.0-alpha', '1.0.0']],
    [
      'of prereleases (§11.4)',
      [
        '1.0.0-alpha',
        '1.0.0-alpha.1',
        '1.0.0-alpha.beta',
        '1.0.0-beta',
        '1.0.0-beta.2',
        '1.0.0-beta.11',
        '1.0.0-rc.1',
        '1.0.0',
      ],
    ],
    [
      'of numbers beyond what a double holds',
      ['1.0.9007199254740992', '1.0.9007199254740993', '1.0.10000000000000000000'],
    ],
  ])('is the specification’s, %s', (_, versions) => {
    for (const [index, version] of versions.entries()) {
      for (const [other, later] of versions.entries()) {
        expect(Math.sign(compareVersions(version, later) ?? Number.NaN), `${version} and ${later}`).toBe(
          Math.sign(index - other),
        )
      }
    }
  })

  test('does not heed build metadata (§10)', () => {
    expect(compareVersions('1.0.0+20130313144700', '1.0.0+exp.sha.5114f85')).toBe(0)
    expect(compareVersions('2.98.33+rev1', '2.98.34')).toBeLessThan(0)
  })

  test('is none where a text is no version', () => {
    for (const text of [
      '',
      '1',
      '1.2',
      '01.2.3',
      '1.2.3-',
      '1.2.3-01',
      '1.2.3-a..b',
      'v1.2.3',
      '1.2.3 ',
      '1.2.3.4',
      '-1.0.0',
    ]) {
      expect(isVersion(text), text).toBe(false)
      expect(compareVersions(text, '1.0.0')).toBeNull()
    }
  })

  test('is total', () => {
    const identifier = fc.oneof(fc.nat(20).map(String), fc.constantFrom('alpha', 'beta', 'a-1', 'A', '-'))
    const version = fc
      .tuple(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(30)), fc.array(identifier, { maxLength: 3 }))
      .map(([numbers, rest]) => numbers.join('.') + (rest.length === 0 ? '' : `-${rest.join('.')}`))
    const sign = (left: string, right: string) => Math.sign(compareVersions(left, right) ?? Number.NaN)
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(sign(a, b)).toBe(sign(b, a) === 0 ? 0 : -sign(b, a))
        expect(sign(a, b) === 0).toBe(a === b)
        if (sign(a, b) <= 0 && sign(b, c) <= 0) expect(sign(a, c)).toBeLessThanOrEqual(0)
      }),
    )
  })
})

describe('a host takes', () => {
  const refusal = (present: string | null, target: string, rest: { minimum?: string; force?: boolean } = {}) =>
    refusalOfVersion({ present, target, minimum: rest.minimum ?? null, force: rest.force })

  test('a newer version, the same one, and any where it does not know its own', () => {
    expect(refusal('1.0.0', '1.0.1', { force: false })).toBeNull()
    expect(refusal('1.0.0', '1.0.0', { force: false })).toBeNull()
    expect(refusal(null, '1.0.0', { force: false })).toBeNull()
    expect(refusal('old thing', '1.0.0', { force: false })).toBeNull()
  })

  test('an older one only by force', () => {
    expect(refusal('1.1.0', '1.0.9', { force: false })).toContain('older than 1.1.0')
    expect(refusal('1.1.0', '1.1.0-rc.1', { force: false })).toContain('older')
    expect(refusal('1.1.0', '1.0.9', { force: true })).toBeNull()
  })

  test('none before the one it needs, force or not', () => {
    expect(refusal('1.1.0', '2.0.0', { minimum: '1.2.0', force: true })).toContain('at least 1.2.0')
    expect(refusal(null, '2.0.0', { minimum: '1.2.0', force: true })).toContain('does not tell')
    expect(refusal('1.2.0', '2.0.0', { minimum: '1.2.0', force: false })).toBeNull()
  })
})
