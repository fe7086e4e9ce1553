import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChallenges } from './challenge.ts'

test('the challenge of a token service is read with its parameters, commas and escapes in quotes included', () => {
  const header = 'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"'
  expect(parseChallenges(header)).toEqual([
    {
      scheme: 'bearer',
      parameters: { realm: 'https://auth.example/token', service: 'registry', scope: 'repository:a/b:pull,push' },
    },
  ])
  expect(parseChallenges('Basic realm="a \\"quoted\\" name"')[0]?.parameters.realm).toBe('a "quoted" name')
})

test('several challenges in one header are told apart', () => {
  const schemes = parseChallenges('Negotiate, Basic realm=simple, Bearer realm="x", error=none').map(
    (one) => one.scheme,
  )
  expect(schemes).toEqual(['negotiate', 'basic', 'bearer'])
})

test('whatever a registry sends, reading it ends', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z ",=\\]*$/)), (header) => {
      expect(Array.isArray(parseChallenges(header))).toBe(true)
    }),
    { numRuns: 500 },
  )
  expect(parseChallenges(undefined)).toEqual([])
  expect(parseChallenges(`Bearer ${'a='.repeat(100_000)}`).length).toBeLessThan(10)
})
