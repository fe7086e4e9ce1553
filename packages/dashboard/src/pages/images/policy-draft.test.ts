import type { Image } from '@freehold/contracts'
import { describe, expect, it } from 'vitest'
import { applyPolicy, policyDraftOf, retentionOf } from './policy-draft.ts'

const base: Image['data'] = { name: 'team/app', description: '', location: { internal: true } }
const full: Image['data'] = {
  ...base,
  retention: { keepLastTags: 5, keepTags: ['v*', 'latest'], keepYoungerThanDays: 30, deleteUntaggedAfterDays: 7 },
  quotaBytes: 1_500_000_001,
  anonymousPull: true,
}

describe('the policy of an image', () => {
  it.each([base, full, { ...base, retention: {} }, { ...base, anonymousPull: false }])(
    'is the same after it was shown and nothing was changed',
    (data) => {
      expect(applyPolicy(data, policyDraftOf(data))).toEqual(data)
    },
  )

  it('tells the default, keeping everything, and rules apart', () => {
    expect(policyDraftOf(base).source).toBe('default')
    expect(policyDraftOf({ ...base, retention: {} }).source).toBe('everything')
    expect(policyDraftOf(full).source).toBe('rules')
    expect(retentionOf({ ...policyDraftOf(full), source: 'default' })).toBeUndefined()
    expect(retentionOf({ ...policyDraftOf(full), source: 'everything' })).toEqual({})
  })

  it('takes what is typed', () => {
    const draft = { ...policyDraftOf(base), source: 'rules', keepLastTags: '3', keepTags: ' v1.* \n\nlatest' } as const
    expect(applyPolicy(base, { ...draft, quotaGibibytes: '2', anonymousPull: true })).toEqual({
      ...base,
      retention: { keepLastTags: 3, keepTags: ['v1.*', 'latest'] },
      quotaBytes: 2 * 1024 ** 3,
      anonymousPull: true,
    })
    expect(applyPolicy(full, { ...policyDraftOf(full), quotaGibibytes: '', anonymousPull: false })).toMatchObject({
      anonymousPull: false,
    })
    expect(applyPolicy(full, { ...policyDraftOf(full), quotaGibibytes: '' })).not.toHaveProperty('quotaBytes')
  })
})
