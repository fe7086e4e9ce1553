import { z } from 'zod'
import { genericJoinTokenSchema } from './device-resources.ts'
import { defineKind } from './resource.ts'
import { defineRoute } from './route.ts'

/** Where a build worker is reached; below a path too. What it asks of a caller is a token, never a name in the address. */
const workerUrl = z
  .url({ protocol: /^https?$/ })
  .max(500)
  .refine((text) => URL.canParse(text) && isPlain(new URL(text)), 'an address without user name, query and fragment')
const workerToken = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[\x21-\x7e•]+$/, 'printable ASCII without spaces')

/** One entry of `corebuildWorkersJson`. */
export const buildWorkerEntry = z.strictObject({
  url: workerUrl,
  token: workerToken.optional(),
  id: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, . _ and -, at most 64')
    .refine((id) => id !== 'local', 'local is the worker of this machine')
    .optional(),
})
export type BuildWorkerEntry = z.output<typeof buildWorkerEntry>

const buildWorkerEntries = z
  .array(workerUrl.transform((url): BuildWorkerEntry => ({ url })).or(buildWorkerEntry))
  .max(64)

/** The entries of a `corebuildWorkersJson`; undefined where it is none. */
export function parseBuildWorkers(text: string): BuildWorkerEntry[] | undefined {
  try {
    return buildWorkerEntries.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

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
  corebuildWorkersJson: z
    .string()
    .max(100_000)
    .refine(
      (text) => parseBuildWorkers(text) !== undefined,
      'a JSON array of addresses or of {"url", "token", "id"}, at most 64, token and id as needed',
    )
    .describe('Build workers: a JSON array of addresses or {url, token, id}; a token as it is shown stays as it is'),
  corebuildWorkerUrl: workerUrl.describe('One build worker more, as older installations have it'),
  corebuildWorkerToken: workerToken.describe('The token of corebuildWorkerUrl'),
}
export const settingKeys = [
  'baseosJoinToken',
  'baseosApproval',
  'corebuildWorkersJson',
  'corebuildWorkerUrl',
  'corebuildWorkerToken',
] as const
/** Not to be written on a command line. */
export const sensitiveSettings: readonly string[] = ['baseosJoinToken', 'corebuildWorkersJson', 'corebuildWorkerToken']

/** A secret that is sent on, so it is kept encrypted. */
const sealedToken = z.strictObject({ sealed: z.string(), shown: z.string() })

export const settingsKind = defineKind({
  name: 'settings',
  plural: 'settings-records',
  data: z.strictObject({
    baseosJoinToken: z.strictObject({ hash: z.string(), lastCharacters: z.string() }).optional(),
    baseosApproval: settingValues.baseosApproval.optional(),
    corebuildWorkersJson: z
      .array(buildWorkerEntry.omit({ token: true }).extend({ token: sealedToken.optional() }))
      .optional(),
    corebuildWorkerUrl: z.string().optional(),
    corebuildWorkerToken: sealedToken.optional(),
  }),
  status: z.object({}),
  initialStatus: {},
  unique: { one: () => 'one' },
  redact: ['baseosJoinToken', 'corebuildWorkersJson', 'corebuildWorkerToken'],
})

/** As they are shown: null for what is not set, sensitive ones as `••••` and the last four characters. */
const maskedSettings = z.object({
  baseosJoinToken: z.string().nullable(),
  baseosApproval: z.enum(['automatic', 'manual']),
  corebuildWorkersJson: z.string().nullable(),
  corebuildWorkerUrl: z.string().nullable(),
  corebuildWorkerToken: z.string().nullable(),
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

function isPlain(url: URL): boolean {
  return url.username === '' && url.password === '' && url.search === '' && url.hash === ''
}
