import { z } from 'zod'
import { digestSchema } from './digest.ts'

/**
 * Which tags of a repository stay. A tag stays as long as any rule keeps it; without a keeping rule all tags stay.
 * Whatever a service's revision runs or a release has stays in any case, with all it consists of and all that was said of it.
 */
export const retentionSchema = z.strictObject({
  keepLastTags: z.int().min(1).max(100_000).optional().describe('The so many tags pushed last'),
  keepTags: z
    .array(
      z
        .string()
        .min(1)
        .max(128)
        .regex(/^[A-Za-z0-9._*?-]+$/, 'letters, digits, _ . - with * for any text and ? for any one character'),
    )
    .max(50)
    .optional()
    .describe('Tags that fit one of these: * stands for any text, ? for any one character, all else for itself'),
  keepYoungerThanDays: z.int().min(1).max(36_500).optional().describe('Tags pushed within so many days'),
  deleteUntaggedAfterDays: z
    .int()
    .min(1)
    .max(36_500)
    .optional()
    .describe(
      'Manifests go when no tag, index, service or release has needed them for so many days, and their signatures with them. Absent: they stay',
    ),
})
export type Retention = z.output<typeof retentionSchema>

/** Why a tag or manifest stays or goes. */
export const retentionRules = [
  /** Stays: a service's current or kept revision, or a release, needs it. */
  'in-use',
  /** Stays: a service names this tag. */
  'named-by-service',
  'keep-last',
  'keep-tags',
  'keep-younger',
  /** Stays: no rule says which tags to keep, so all are. */
  'no-rule',
  /** Stays: a tag that stays names it. */
  'tagged',
  /** Stays or goes with an index that has it, or with the image it belongs to (a signature, an SBOM). */
  'follows',
  /** Stays: untagged, but not for long enough, or for ever. */
  'untagged-young',
  /** Goes: there are keeping rules, and none keeps it. */
  'not-kept',
  /** Goes: nothing has needed it for long enough. */
  'untagged-old',
] as const

export const retentionStepSchema = z.object({
  kind: z.enum(['tag', 'manifest']),
  /** Of a tag, its name; of a manifest null. */
  tag: z.string().nullable(),
  digest: digestSchema,
  action: z.enum(['keep', 'delete']),
  rule: z.enum(retentionRules),
  /** For people: "is among the last 5 pushed". */
  reason: z.string(),
  /** When the tag or manifest was pushed last. */
  pushedAt: z.iso.datetime(),
  /** Of a manifest its own bytes, without config and layers; of a tag 0. */
  sizeBytes: z.int(),
})
export type RetentionStep = z.output<typeof retentionStepSchema>

const tally = z.object({ keep: z.int(), delete: z.int() })

/** What retention removes of one repository (as a dry run: would remove now), and why. */
export const retentionReportSchema = z.object({
  repository: z.string(),
  at: z.iso.datetime(),
  /** `request`: given in it; `image`: the image's own; `default`: the server's setting; `none`: everything stays. */
  source: z.enum(['request', 'image', 'default', 'none']),
  retention: retentionSchema.nullable(),
  tags: tally,
  manifests: tally,
  /** Of manifests, configs and layers that no manifest of this repository needs afterwards; garbage collection frees them where no other repository needs them either. */
  releasedBytes: z.int(),
  /** What goes first, then what stays, at most 1,000 together. */
  steps: z.array(retentionStepSchema),
  /** True where there are more steps than shown; the numbers count them all. */
  truncated: z.boolean(),
})
export type RetentionReport = z.output<typeof retentionReportSchema>
