import { z } from 'zod'
import { genericJoinTokenSchema } from './device-resources.ts'
import { defineKind } from './resource.ts'
import { defineRoute } from './route.ts'

/**
 * Settings that are changed while the control plane runs; those it starts with are environment variables. Each is a
 * top-level key. Sensitive ones are kept as what is needed of them, and shown as their last four characters.
 */
const settingValues = {
  /** Lets any number of devices enrol, until it is cleared. Only compared, so only a keyed hash of it is kept. */
  baseosJoinToken: genericJoinTokenSchema.describe('Generic join token of devices, at least 16 characters'),
  baseosApproval: z
    .enum(['automatic', 'manual'])
    .describe('manual: new devices wait until an operator approves them; default automatic'),
}
export const settingKeys = ['baseosJoinToken', 'baseosApproval'] as const
export const sensitiveSettings: readonly string[] = ['baseosJoinToken']

export const settingsKind = defineKind({
  name: 'settings',
  plural: 'settings-records',
  data: z.strictObject({
    baseosJoinToken: z.strictObject({ hash: z.string(), lastCharacters: z.string() }).optional(),
    baseosApproval: settingValues.baseosApproval.optional(),
  }),
  status: z.object({}),
  initialStatus: {},
  unique: { one: () => 'one' },
  redact: ['baseosJoinToken'],
})

/** As they are shown: null for what is not set, sensitive ones as `••••` and the last four characters. */
const maskedSettings = z.object({
  baseosJoinToken: z.string().nullable(),
  baseosApproval: z.enum(['automatic', 'manual']),
})

export const settingsRoutes = {
  settings: {
    get: defineRoute({
      method: 'GET',
      path: '/api/v1/settings',
      summary: 'The settings, sensitive ones masked',
      access: 'settings:read',
      output: maskedSettings,
    }),
    update: defineRoute({
      method: 'PATCH',
      path: '/api/v1/settings',
      summary: 'Change settings; what is not named stays',
      access: 'settings:write',
      body: z.strictObject(settingValues).partial(),
      output: maskedSettings,
    }),
    clear: defineRoute({
      method: 'DELETE',
      path: '/api/v1/settings/:key',
      summary: 'Bring a setting back to its default',
      access: 'settings:write',
      params: z.object({ key: z.enum(settingKeys) }),
      output: maskedSettings,
    }),
  },
}
