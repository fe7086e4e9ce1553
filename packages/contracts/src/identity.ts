import { z } from 'zod'
import { roles } from './access.ts'
import { defineKind, idSchema, oneLine, resourceSchema } from './resource.ts'
import { defineRoute, deleteRoute, getRoute, listRoute, pageQuery, updateRoute } from './route.ts'

/** People and the machine users behind clusters (record `IUser`). */
export const usernameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'letters, digits, . _ @ -, at most 64, starting with a letter or digit')
/** Length is what counts (NIST SP 800-63B §3.1.1.2); the upper bound keeps hashing cheap. */
export const passwordSchema = z.string().min(10, 'at least 10 characters').max(256)
export const roleSchema = z.enum(roles)

export const userData = z.strictObject({
  type: z.enum(['human', 'machine']),
  name: usernameSchema,
  role: roleSchema,
  /** argon2id in PHC string form; absent for machine users. */
  passwordHash: z.string().optional(),
  disabled: z.boolean().default(false),
})
export const userKind = defineKind({
  name: 'user',
  plural: 'users',
  data: userData,
  status: z.object({}),
  initialStatus: {},
  indexes: { role: (user) => user.data.role },
  unique: { name: (user) => user.data.name.toLowerCase() },
  redact: ['passwordHash'],
})

/** A machine token (record `IToken`): shown once, stored as a SHA-256 hash. */
export const tokenData = z.strictObject({
  name: z.string().min(1).max(64),
  role: z.enum(['admin', 'user', 'api']),
  /** The user it acts for and dies with. */
  userId: idSchema,
  expiresAt: z.iso.datetime(),
  /** The first characters, to recognise it by. */
  prefix: z.string(),
  hash: z.string(),
})
export const tokenKind = defineKind({
  name: 'token',
  plural: 'tokens',
  data: tokenData,
  status: z.object({}),
  initialStatus: {},
  indexes: { userId: (token) => token.data.userId },
  unique: { hash: (token) => token.data.hash },
  redact: ['hash'],
})

/** A signed-in person; the cookie or bearer value is stored as a SHA-256 hash. */
export const sessionKind = defineKind({
  name: 'session',
  plural: 'sessions',
  data: z.strictObject({
    userId: idSchema,
    expiresAt: z.iso.datetime(),
    hash: z.string(),
    client: z.string().max(200),
  }),
  status: z.object({}),
  initialStatus: {},
  indexes: { userId: (session) => session.data.userId },
  unique: { hash: (session) => session.data.hash },
  redact: ['hash'],
})

/** Who the caller is. */
export const identitySchema = z.object({
  subject: z.enum(['user', 'token', 'agent']),
  userId: idSchema,
  name: z.string(),
  role: roleSchema,
  expiresAt: z.iso.datetime().nullable(),
})

/** A user as the API shows it: without the hash. */
const publicUser = { ...userKind, data: userData.omit({ passwordHash: true }) }
/** When it was last used is a fact beside the resource, noted once a minute; null: never. */
const publicToken = {
  ...tokenKind,
  data: tokenData.omit({ hash: true }),
  status: z.object({ lastUsedAt: z.iso.datetime().nullable() }),
}
const signedIn = z.object({
  identity: identitySchema,
  token: z.string().describe('Bearer value; the browser gets it as a cookie besides'),
})
const credentials = z.strictObject({ username: z.string().max(64), password: z.string().max(256) })

export const identityRoutes = {
  auth: {
    setupState: defineRoute({
      method: 'GET',
      path: '/api/v1/setup',
      summary: 'Whether the first administrator is still to be made',
      access: 'public',
      output: z.object({ needed: z.boolean() }),
    }),
    setup: defineRoute({
      method: 'POST',
      path: '/api/v1/setup',
      summary: 'Make the first administrator with the one-time setup token printed at the first start',
      access: 'public',
      body: z.strictObject({ token: z.string().max(200), username: usernameSchema, password: passwordSchema }),
      output: signedIn,
      errors: ['conflict', 'wrong-credentials', 'too-many-requests'],
    }),
    login: defineRoute({
      method: 'POST',
      path: '/api/v1/login',
      summary: 'Sign in with user name and password',
      access: 'public',
      body: credentials,
      output: signedIn,
      errors: ['wrong-credentials', 'too-many-requests'],
    }),
    logout: defineRoute({
      method: 'POST',
      path: '/api/v1/logout',
      summary: 'End this session',
      access: 'identity:self',
      errors: ['conflict'],
    }),
    identity: defineRoute({
      method: 'GET',
      path: '/api/v1/identity',
      summary: 'Who I am',
      access: 'identity:self',
      output: identitySchema,
    }),
    changePassword: defineRoute({
      method: 'POST',
      path: '/api/v1/identity/password',
      summary: 'Change my password; ends my other sessions',
      access: 'identity:self',
      body: z.strictObject({ current: z.string().max(256), next: passwordSchema }),
      errors: ['wrong-credentials', 'too-many-requests', 'conflict'],
    }),
  },
  users: {
    list: listRoute(publicUser, 'users:read', { role: roles }),
    get: getRoute(publicUser, 'users:read'),
    create: defineRoute({
      method: 'POST',
      path: '/api/v1/users',
      summary: 'Create a user',
      access: 'users:write',
      body: z.strictObject({
        data: z.strictObject({ name: usernameSchema, role: z.enum(['admin', 'user']), password: passwordSchema }),
      }),
      output: resourceSchema(publicUser),
      status: 201,
      errors: ['already-exists'],
    }),
    update: updateRoute(
      publicUser,
      'users:write',
      z.strictObject({
        role: z.enum(['admin', 'user']).optional(),
        disabled: z.boolean().optional(),
        password: passwordSchema.optional(),
      }),
    ),
    delete: deleteRoute(userKind, 'users:write'),
  },
  tokens: {
    list: listRoute(publicToken, 'tokens:read', { userId: 'any' }),
    get: getRoute(publicToken, 'tokens:read'),
    create: defineRoute({
      method: 'POST',
      path: '/api/v1/tokens',
      summary: 'Create a machine token; its value is shown this once',
      access: 'tokens:write',
      body: z.strictObject({
        data: z.strictObject({
          name: oneLine.min(1).max(64),
          role: z.enum(['admin', 'user', 'api']).default('api'),
          expiresAt: z.iso.datetime().optional().describe('Default: in 365 days'),
        }),
      }),
      output: z.object({ resource: resourceSchema(publicToken), token: z.string() }),
      status: 201,
    }),
    delete: deleteRoute(tokenKind, 'tokens:write'),
  },
  audit: {
    list: defineRoute({
      method: 'GET',
      path: '/api/v1/audit',
      summary: 'Who changed what, newest first',
      access: 'audit:read',
      query: pageQuery.pick({ limit: true }).extend({
        kind: z.string().max(64).optional(),
        id: idSchema.optional(),
        before: z.coerce.number().int().optional().describe('Only entries with a smaller version'),
      }),
      output: z.object({ items: z.array(z.lazy(() => changeSchema)) }),
    }),
  },
}

/** An entry of the change feed and audit log. */
export const changeSchema = z.object({
  version: z.int(),
  operation: z.enum(['create', 'update', 'status', 'delete']),
  kind: z.string(),
  id: z.string(),
  actor: z.object({ type: z.enum(['user', 'token', 'agent', 'system']), id: z.string(), name: z.string() }),
  at: z.iso.datetime(),
  after: z.unknown(),
  before: z.unknown().optional(),
  hash: z.string(),
})
export type ChangeEntry = z.output<typeof changeSchema>

export type User = z.output<ReturnType<typeof resourceSchema<typeof publicUser>>>
export type Identity = z.output<typeof identitySchema>
