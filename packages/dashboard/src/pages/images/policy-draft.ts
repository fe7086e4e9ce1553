import type { Image, Retention } from '@freehold/contracts'

type Data = Image['data']
const gibibyte = 1024 ** 3

/** The policy of an image as its form shows it; numbers are texts while they are typed. */
export interface PolicyDraft {
  source: 'default' | 'everything' | 'rules'
  keepLastTags: string
  /** One pattern a line. */
  keepTags: string
  keepYoungerThanDays: string
  deleteUntaggedAfterDays: string
  quotaGibibytes: string
  anonymousPull: boolean
}

export function policyDraftOf(data: Data): PolicyDraft {
  const { retention } = data
  const isEmpty = retention !== undefined && Object.values(retention).every((value) => value === undefined)
  return {
    source: retention === undefined ? 'default' : isEmpty ? 'everything' : 'rules',
    keepLastTags: textOf(retention?.keepLastTags),
    keepTags: (retention?.keepTags ?? []).join('\n'),
    keepYoungerThanDays: textOf(retention?.keepYoungerThanDays),
    deleteUntaggedAfterDays: textOf(retention?.deleteUntaggedAfterDays),
    quotaGibibytes: data.quotaBytes === undefined ? '' : String(Math.round((data.quotaBytes / gibibyte) * 1000) / 1000),
    anonymousPull: data.anonymousPull === true,
  }
}

/** The rules a draft says; undefined leaves them to the server's default. What is no number is passed on to be refused. */
export function retentionOf(draft: PolicyDraft): Retention | undefined {
  if (draft.source === 'default') return undefined
  if (draft.source === 'everything') return {}
  const patterns = draft.keepTags.split(/[\n,]/).flatMap((line) => (line.trim() === '' ? [] : [line.trim()]))
  return {
    ...numberAt('keepLastTags', draft.keepLastTags),
    ...(patterns.length === 0 ? {} : { keepTags: patterns }),
    ...numberAt('keepYoungerThanDays', draft.keepYoungerThanDays),
    ...numberAt('deleteUntaggedAfterDays', draft.deleteUntaggedAfterDays),
  }
}

/** The data of the image with the draft in it. */
export function applyPolicy(data: Data, draft: PolicyDraft): Data {
  const { retention: _retention, quotaBytes, anonymousPull, ...rest } = data
  const retention = retentionOf(draft)
  // A quota that was shown rounded and not touched stays as it was.
  const isSameQuota = draft.quotaGibibytes === policyDraftOf(data).quotaGibibytes
  const quota = isSameQuota ? quotaBytes : quotaOf(draft.quotaGibibytes)
  const isAnonymous = draft.anonymousPull ? true : anonymousPull === undefined ? undefined : false
  return {
    ...rest,
    ...(retention === undefined ? {} : { retention }),
    ...(quota === undefined ? {} : { quotaBytes: quota }),
    ...(isAnonymous === undefined ? {} : { anonymousPull: isAnonymous }),
  }
}

function quotaOf(text: string): number | undefined {
  return text.trim() === '' ? undefined : Math.round(Number(text) * gibibyte)
}

const textOf = (value: number | undefined): string => (value === undefined ? '' : String(value))

function numberAt<Name extends string>(name: Name, text: string): { [K in Name]?: number } {
  return text.trim() === '' ? {} : ({ [name]: Number(text) } as { [K in Name]: number })
}
