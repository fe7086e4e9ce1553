import { z } from 'zod'
import { defineKind, idSchema, resourceSchema } from './resource.ts'
import { defineRoute, getRoute, idParams, orderedListRoute, pageQuery } from './route.ts'

/** A device moves through these, always by its own report. `waiting`: its phase is not open, or it was not heard since. */
export const memberStates = [
  'waiting',
  'staged',
  'downloading',
  'applying',
  'soaking',
  'succeeded',
  'failed',
  'rolled-back',
  'left',
] as const
export type MemberState = (typeof memberStates)[number]

const percent = z.number().min(0).max(100)

export const releasePhaseSchema = z
  .strictObject({
    /** Only devices of this group; absent: any that are left. */
    groupId: idSchema.optional(),
    percent: percent.optional().describe('Of all members of the rollout'),
    count: z.int().min(1).optional().describe('So many members'),
    successPercent: percent.default(90).describe('Of the phase; so many must have succeeded before the next opens'),
    errorPercent: percent.default(5).describe('Of the phase; more failures than this stop the rollout'),
    soakMinutes: z
      .int()
      .min(0)
      .max(30 * 1440)
      .default(0)
      .describe('Between reaching success and opening the next phase'),
    approval: z.boolean().default(false).describe('An operator must open this phase'),
  })
  .refine((phase) => phase.percent === undefined || phase.count === undefined, 'percent or count, not both')
export type ReleasePhase = z.output<typeof releasePhaseSchema>

/** When devices may begin to apply, by their own time zone; over midnight where `from` is later than `to`. */
export const releaseWindowSchema = z
  .strictObject({
    days: z
      .array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']))
      .min(1)
      .default(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])
      .describe('Of the day on which the window begins'),
    from: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day from 00:00 to 23:59, such as 22:00'),
    to: z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day from 00:00 to 23:59, such as 22:00'),
  })
  .refine(({ from, to }) => from !== to, 'a window that ends when it begins is never open; leave it out for any time')
export type ReleaseWindow = z.output<typeof releaseWindowSchema>

export const releaseRolloutInput = z.strictObject({
  channelId: idSchema,
  releaseId: idSchema,
  /** In order; the last takes all members that are left. None: everyone at once. */
  phases: z.array(releasePhaseSchema).max(50).default([]),
  window: releaseWindowSchema.nullable().default(null),
  /** How long a device watches the new release before it says it succeeded. */
  soakSeconds: z.int().min(0).max(86_400).default(60),
  /** Applies also while an application holds an update lock. */
  force: z.boolean().default(false),
})

export const releaseRolloutData = releaseRolloutInput.extend({
  /** Membership never changes after the start: how many, and SHA-256 over the sorted ids, one a line. */
  memberCount: z.int(),
  membersHash: z.string(),
  /** What the channel carried before. */
  previousReleaseId: idSchema.nullable(),
  /** Wishes of operators. */
  paused: z.boolean(),
  aborted: z.enum(['keep', 'revert']).nullable().describe('keep: who has the release keeps it; revert: all go back'),
  /** Phases, from 0, up to which an operator has given approval. */
  approvedPhases: z.int(),
  /** Rises with each retry: members that failed try once more. */
  attempt: z.int().min(1),
})

export const memberCountsSchema = z.object(
  Object.fromEntries(memberStates.map((state) => [state, z.int()])) as Record<MemberState, z.ZodInt>,
)
export type MemberCounts = z.output<typeof memberCountsSchema>

export const releaseRolloutStatus = z.object({
  /**
   * `stopped`: too many failed; `retry` or `abort` go on from there. `succeeded`, `aborted` and `superseded` (a newer
   * rollout of the channel began) are final.
   */
  state: z.enum([
    'running',
    'soaking',
    'waiting-for-approval',
    'paused',
    'stopped',
    'succeeded',
    'aborted',
    'superseded',
  ]),
  /** Why, for people. */
  message: z.string(),
  /** The phase that is open, from 0. */
  phase: z.int(),
  phases: z.array(
    z.object({
      members: z.int(),
      counts: memberCountsSchema,
      openedAt: z.iso.datetime().nullable(),
      /** When its success threshold was reached. */
      reachedAt: z.iso.datetime().nullable(),
    }),
  ),
  counts: memberCountsSchema,
  startedAt: z.iso.datetime().nullable(),
  finishedAt: z.iso.datetime().nullable(),
})

const noCounts = Object.fromEntries(memberStates.map((state) => [state, 0])) as MemberCounts

/** Who the members are and where each stands is kept in facts beside the resource. */
export const releaseRolloutKind = defineKind({
  name: 'release-rollout',
  plural: 'release-rollouts',
  data: releaseRolloutData,
  status: releaseRolloutStatus,
  initialStatus: {
    state: 'running',
    message: 'It is about to begin.',
    phase: 0,
    phases: [],
    counts: noCounts,
    startedAt: null,
    finishedAt: null,
  },
  indexes: {
    channelId: ({ data }) => data.channelId,
    releaseId: ({ data }) => data.releaseId,
    state: ({ status }) => status.state,
    /** Those a loop must look at. */
    open: ({ status }) => (isOpenRollout(status) ? 'yes' : undefined),
  },
})

export function isOpenRollout({ state }: { state: z.output<typeof releaseRolloutStatus>['state'] }): boolean {
  return !['succeeded', 'aborted', 'superseded'].includes(state)
}

const act = (verb: string, summary: string) =>
  defineRoute({
    method: 'POST',
    path: `/api/v1/release-rollouts/:id/${verb}`,
    summary,
    access: 'releases:write',
    params: idParams,
    output: resourceSchema(releaseRolloutKind),
    errors: ['not-found', 'conflict'],
  })

export const releaseMemberSchema = z.object({
  deviceId: idSchema,
  name: z.string(),
  phase: z.int(),
  state: z.enum(memberStates),
  /** What the device says of it. */
  message: z.string(),
  at: z.iso.datetime().nullable(),
})

export const releaseRolloutRoutes = {
  releaseRollouts: {
    list: orderedListRoute(releaseRolloutKind, 'releases:read', {
      channelId: 'any',
      releaseId: 'any',
      state: releaseRolloutStatus.shape.state.options,
    }),
    get: getRoute(releaseRolloutKind, 'releases:read'),
    preview: defineRoute({
      method: 'POST',
      path: '/api/v1/release-rollouts/preview',
      summary: 'How many devices each phase of a rollout would have; begins nothing',
      access: 'releases:read',
      body: z.strictObject({ data: releaseRolloutInput }),
      output: z.object({ memberCount: z.int(), phases: z.array(z.int()) }),
      errors: ['not-found', 'conflict'],
    }),
    create: defineRoute({
      method: 'POST',
      path: '/api/v1/release-rollouts',
      summary: 'Begin to bring a release to the devices of a channel',
      access: 'releases:write',
      body: z.strictObject({ data: releaseRolloutInput }),
      output: resourceSchema(releaseRolloutKind),
      status: 201,
      errors: ['not-found', 'conflict'],
    }),
    members: defineRoute({
      method: 'GET',
      path: '/api/v1/release-rollouts/:id/members',
      summary: 'The devices of a rollout, and where each stands by its own report',
      access: 'releases:read',
      params: idParams,
      query: pageQuery
        .omit({ label: true, search: true })
        .extend({ state: z.enum(memberStates).optional().describe('Only those in this state') }),
      output: z.object({ items: z.array(releaseMemberSchema), nextCursor: z.string().nullable() }),
      errors: ['not-found', 'invalid-cursor'],
    }),
    pause: act('pause', 'Open no further phase and begin on no further device'),
    resume: act('resume', 'Go on with a paused rollout'),
    approve: act('approve', 'Open the phase that waits for approval'),
    retry: act('retry', 'Let the devices that failed try once more, and go on with a stopped rollout'),
    abort: defineRoute({
      ...act('abort', 'End a rollout'),
      body: z
        .strictObject({
          devices: z
            .enum(['keep', 'revert'])
            .default('keep')
            .describe('keep: who has the release keeps it; revert: all go back to what they had'),
        })
        .default({ devices: 'keep' }),
    }),
  },
}
