import { z } from 'zod'
import { deviceLimits, deviceNodeIdPattern } from './device-limits.ts'
import { deviceStatusSchema } from './devices.ts'
import { deviceReleasesSchema, releasePins } from './releases.ts'
import { defineKind, idSchema, keptLabelsSchema, labelsSchema, nameSchema, resourceSchema } from './resource.ts'
import { createRoute, defineRoute, deleteRoute, getRoute, idParams, listRoute, patchOf, updateRoute } from './route.ts'
import { deviceActionKinds, deviceActionSchema } from './updates.ts'

/** What people call a device; also what `search` looks at. */
const deviceName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\p{Cc}]*$/u, 'no control characters')

/** What an operator may say about a device. */
export const deviceInput = z.strictObject({
  name: deviceName,
  description: z.string().max(500).default(''),
  ...releasePins,
})

export const deviceData = deviceInput.extend({
  /** What the device calls itself; never changes. */
  nodeId: z.string().regex(deviceNodeIdPattern),
  /** `waiting`: an operator has not yet said yes. A revoked device stays known and is refused. */
  access: z.enum(['waiting', 'allowed', 'revoked']),
  /** Until then a registration without proof is let in, once: the device was wiped, or changed hands. */
  readoptUntil: z.iso.datetime().nullable(),
  /** What an operator asked of it lately; carried out once. */
  actions: z.array(deviceActionSchema).max(16).default([]),
})

/** The few lines of a device's last report that lists show. The whole report: `GET /api/v1/devices/:id/report`. */
export const deviceSummarySchema = z.object({
  agentVersion: z.string().nullable(),
  hostname: z.string().nullable(),
  osVersion: z.string().nullable(),
  architecture: z.string().nullable(),
  supervisorVersion: z.string().nullable(),
  supervisorState: z.string().nullable(),
  /** The release of ours that runs, by id; else the commit that its Supervisor tells. */
  release: z.string().nullable(),
  /** Outcome of the last update that was asked for. */
  updateOutcome: z.string().nullable(),
  /** Sentences the device has about what is wrong: the first of them. */
  problem: z.string().nullable(),
})
export type DeviceSummary = z.output<typeof deviceSummarySchema>

export const deviceStates = ['waiting', 'enrolled', 'online', 'late', 'offline', 'revoked'] as const

/** What about a device needs a person; each is listed under the first of these that holds. */
export const deviceAttentions = ['approve', 'clone', 'claim', 'update-failed'] as const

export const deviceState = z.object({
  /**
   * `enrolled`: accepted, never heard since. `late`: more than one and a half of its own intervals have passed,
   * `offline`: more than three. Whoever reads sees `late`; it is never written down.
   */
  state: z.enum(deviceStates),
  /** Why, for people. */
  message: z.string(),
  /** Since when it is in this state, as far as that was written down. */
  since: z.iso.datetime(),
  enrolledAt: z.iso.datetime().nullable(),
  joinTokenId: idSchema.nullable(),
  lastHeartbeatAt: z.iso.datetime().nullable(),
  /** The rhythm it keeps, in milliseconds. */
  intervalMs: z.int().nullable(),
  summary: deviceSummarySchema.nullable(),
  /** The newest release that it could not take: set by a failure, ended by a success. */
  updateFailure: z
    .object({ releaseId: idSchema, version: z.string(), state: z.string(), message: z.string(), at: z.iso.datetime() })
    .nullable()
    .default(null),
  /** Someone registered under this nodeId without proof of being this device, and was refused. */
  claim: z.object({ at: z.iso.datetime(), address: z.string(), attempts: z.int() }).nullable(),
  /** Two devices take turns under this identity: its storage was copied. */
  clone: z.object({ at: z.iso.datetime(), message: z.string() }).nullable(),
})

/** Facts beside the resource hold the last report and the history. */
export const deviceKind = defineKind({
  name: 'device',
  plural: 'devices',
  data: deviceData,
  status: deviceState,
  initialStatus: {
    state: 'waiting',
    message: 'Waits for an operator to approve it.',
    since: '1970-01-01T00:00:00.000Z',
    enrolledAt: null,
    joinTokenId: null,
    lastHeartbeatAt: null,
    intervalMs: null,
    summary: null,
    updateFailure: null,
    claim: null,
    clone: null,
  },
  indexes: {
    name: ({ data }) => data.name,
    /** The end of the id, which is random where its beginning is the time; what people tell devices of one name apart by. */
    shortId: ({ id }) => id.slice(-8),
    state: ({ status }) => status.state,
    /** Only those a person should look at, so that they are found among many. */
    attention: ({ data, status }) =>
      data.access === 'waiting'
        ? 'approve'
        : status.clone !== null
          ? 'clone'
          : status.claim !== null && data.access === 'allowed'
            ? 'claim'
            : status.updateFailure !== null && data.access === 'allowed'
              ? 'update-failed'
              : undefined,
    joinTokenId: ({ status }) => status.joinTokenId ?? undefined,
    pinnedAppReleaseId: ({ data }) => data.pinnedAppReleaseId ?? undefined,
    pinnedHostReleaseId: ({ data }) => data.pinnedHostReleaseId ?? undefined,
    /** Stored by a version that knew nothing of releases: fields are absent, and put in at the start. */
    incomplete: ({ data, status }) =>
      data.actions === undefined || status.updateFailure === undefined ? 'yes' : undefined,
    update: ({ status }) => (status.updateFailure ? 'failed' : undefined),
  },
  unique: { nodeId: ({ data }) => data.nodeId },
})

/**
 * What a device proves itself with, as a SHA-256 hash of a random value. `token`: a node token; the newest that was
 * used is the good one, and one offered since. `secret`: what it first registered with. `claim`: the secret of who
 * claims to be it. No route shows them.
 */
export const deviceCredentialKind = defineKind({
  name: 'device-credential',
  plural: 'device-credentials',
  data: z.strictObject({
    deviceId: idSchema,
    purpose: z.enum(['token', 'secret', 'claim']),
    hash: z.string(),
    expiresAt: z.iso.datetime().nullable(),
    used: z.boolean(),
  }),
  status: z.object({}),
  initialStatus: {},
  indexes: { deviceId: ({ data }) => data.deviceId },
  unique: { token: ({ data }) => (data.purpose === 'token' ? data.hash : undefined) },
  redact: ['hash'],
})

/** A token with which devices enrol. Only its hash is kept. */
export const joinTokenData = z.strictObject({
  name: nameSchema,
  /** `named`: made by people, for as many devices as `uses` says. `provisioning`: for the one device of an image build. */
  purpose: z.enum(['named', 'provisioning']),
  /** The image build a provisioning token was put into. */
  buildId: z.string().max(64).nullable(),
  /** Devices that may enrol with it; null: any number. */
  uses: z.int().min(1).nullable(),
  expiresAt: z.iso.datetime(),
  /** Given to every device that enrols with it. */
  deviceLabels: keptLabelsSchema,
  revoked: z.boolean(),
  /** The first characters, to recognise it by. */
  prefix: z.string(),
  hash: z.string(),
})
export const joinTokenKind = defineKind({
  name: 'join-token',
  plural: 'join-tokens',
  data: joinTokenData,
  status: z.object({
    /** Devices that have enrolled with it. */
    used: z.int(),
    lastUsedAt: z.iso.datetime().nullable(),
    refusals: z.int(),
    lastRefusal: z
      .object({ at: z.iso.datetime(), reason: z.string(), nodeId: z.string(), address: z.string() })
      .nullable(),
  }),
  initialStatus: { used: 0, lastUsedAt: null, refusals: 0, lastRefusal: null },
  indexes: { buildId: ({ data }) => data.buildId ?? undefined },
  unique: { hash: ({ data }) => data.hash, name: ({ data }) => data.name },
  redact: ['hash'],
})
const publicJoinToken = { ...joinTokenKind, data: joinTokenData.omit({ hash: true }) }

/** One span of a device's history. Averages of what was reported in it; null: nothing was. */
export const deviceSpanSchema = z.object({
  /** Its beginning. */
  at: z.iso.datetime(),
  heartbeats: z.int().describe('How many came; counts stop at 255'),
  load: z.number().nullable().describe('Runnable processes'),
  memoryPercent: z.int().nullable().describe('Memory in use'),
  storagePercent: z.int().nullable().describe('Storage in use'),
  temperatureCelsius: z.int().nullable(),
})
export type DeviceSpan = z.output<typeof deviceSpanSchema>

const deviceReportSchema = z.object({
  lastHeartbeatAt: z.iso.datetime().nullable(),
  report: deviceStatusSchema.nullable(),
  /** The last day by quarters of an hour and the last month by six hours, oldest first; spans without a heartbeat are absent. */
  day: z.array(deviceSpanSchema),
  month: z.array(deviceSpanSchema),
})

const deviceAction = (verb: string, summary: string) =>
  defineRoute({
    method: 'POST',
    path: `/api/v1/devices/:id/${verb}`,
    summary,
    access: 'devices:write',
    params: idParams,
    output: resourceSchema(deviceKind),
    errors: ['not-found', 'conflict'],
  })

export const deviceRoutes = {
  devices: {
    list: listRoute(deviceKind, 'devices:read', {
      state: deviceStates,
      attention: deviceAttentions,
      joinTokenId: 'any',
      update: ['failed'],
      name: 'any',
      shortId: 'any',
    }),
    get: getRoute(deviceKind, 'devices:read'),
    report: defineRoute({
      method: 'GET',
      path: '/api/v1/devices/:id/report',
      summary: 'The last report of a device, and its history',
      access: 'devices:read',
      params: idParams,
      output: deviceReportSchema,
      errors: ['not-found'],
    }),
    update: updateRoute(deviceKind, 'devices:write', patchOf(deviceInput)),
    approve: deviceAction('approve', 'Let a waiting device in'),
    revoke: deviceAction('revoke', 'Shut a device out: its tokens are refused from now on'),
    readopt: deviceAction('readopt', 'Let a wiped device register again, once, within a day; ends a revocation too'),
    acknowledge: deviceAction('acknowledge', 'Take back the marks of a claim or a clone, having seen them'),
    delete: deleteRoute(deviceKind, 'devices:write'),
    releases: defineRoute({
      method: 'GET',
      path: '/api/v1/devices/:id/releases',
      summary: 'What a device shall run, and who decided it',
      access: 'devices:read',
      params: idParams,
      output: deviceReleasesSchema,
      errors: ['not-found'],
    }),
    act: defineRoute({
      method: 'POST',
      path: '/api/v1/devices/:id/actions',
      summary: 'Ask a device to reboot, or to look for an update; it hears of it with its next heartbeat',
      access: 'devices:write',
      params: idParams,
      body: z.strictObject({
        kind: z.enum(deviceActionKinds),
        force: z.boolean().default(false).describe('Also while an application holds an update lock'),
        expiresInSeconds: z
          .int()
          .min(60)
          .max(7 * 86_400)
          .default(86_400),
      }),
      output: resourceSchema(deviceKind),
      status: 202,
      errors: ['not-found', 'conflict'],
    }),
  },
  joinTokens: {
    list: listRoute(publicJoinToken, 'join-tokens:read'),
    get: getRoute(publicJoinToken, 'join-tokens:read'),
    create: defineRoute({
      ...createRoute(
        publicJoinToken,
        'join-tokens:write',
        z.strictObject({
          name: nameSchema,
          uses: z
            .int()
            .min(1)
            .max(1_000_000)
            .nullable()
            .default(1)
            .describe('Devices that may enrol with it; null: any number'),
          expiresInSeconds: z
            .int()
            .min(60)
            .max(366 * 86_400)
            .default(7 * 86_400)
            .describe('Default: 7 days'),
          buildId: z.string().min(1).max(64).optional().describe('Makes it a one-time token of this image build'),
          deviceLabels: labelsSchema.default({}).describe('Given to every device that enrols with it'),
        }),
      ),
      summary: 'Make a token with which devices enrol; shown this once',
      output: z.object({
        resource: resourceSchema(publicJoinToken),
        joinToken: z.string(),
        configuration: z.string().describe("The device agent's environment, ready to copy"),
      }),
    }),
    revoke: defineRoute({
      method: 'POST',
      path: '/api/v1/join-tokens/:id/revoke',
      summary: 'Let no further device enrol with a join token; those that did stay',
      access: 'join-tokens:write',
      params: idParams,
      output: resourceSchema(publicJoinToken),
      errors: ['not-found'],
    }),
    delete: deleteRoute(joinTokenKind, 'join-tokens:write'),
  },
}

/** Shortest generic join token: people choose it, so it must at least not be guessed. */
export const genericJoinTokenSchema = z
  .string()
  .min(16, 'at least 16 characters')
  .max(deviceLimits.tokenCharacters)
  .regex(/^[A-Za-z0-9._~+/=-]+$/, 'letters, digits and . _ ~ + / = - only')
