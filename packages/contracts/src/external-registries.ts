import { z } from 'zod'
import { defineKind, nameSchema, resourceSchema } from './resource.ts'
import { defineRoute, deleteRoute, getRoute, idParams, listRoute, updateRoute } from './route.ts'

/** A registry elsewhere (record `IExternalRegistry`), with the credentials Freehold signs in with there. */
const urlSchema = z
  .url({ protocol: /^https?$/, error: 'an address such as https://registry.example.com' })
  .max(512)
  .refine(isPlainAddress, 'without user name, password, query or fragment: those have fields of their own')
const registryTypes = ['docker', 'npm'] as const
const usernameSchema = z.string().max(256)
const passwordSchema = z.string().min(1).max(8192)

export const externalRegistryData = z.strictObject({
  type: z.enum(registryTypes).default('docker'),
  name: nameSchema,
  url: urlSchema.describe('http:// only where you trust the network in between'),
  username: usernameSchema.default('').describe('Empty: a bearer token alone (npm), or anonymous'),
  /** Encrypted with AES-256-GCM, bound to this resource; absent: anonymous. */
  sealedPassword: z.string().optional(),
  /** Whether there is a password; the password itself is never shown. */
  passwordSet: z.boolean().default(false),
})

export const externalRegistryStatus = z.object({
  /** What the last test found; `untested` after every change of what it would find. */
  state: z.enum(['untested', 'working', 'failing']),
  message: z.string(),
  testedAt: z.iso.datetime().nullable(),
})

export const externalRegistryKind = defineKind({
  name: 'external-registry',
  plural: 'external-registries',
  data: externalRegistryData,
  status: externalRegistryStatus,
  initialStatus: { state: 'untested', message: 'Not tested yet.', testedAt: null },
  indexes: { type: (registry) => registry.data.type },
  unique: { name: (registry) => registry.data.name },
  redact: ['sealedPassword'],
})

/** As the API shows it. */
const publicRegistry = { ...externalRegistryKind, data: externalRegistryData.omit({ sealedPassword: true }) }
/** What people say of it: the part that documents carry, and the password, which can be written and never read. */
const described = externalRegistryData.omit({ sealedPassword: true, passwordSet: true })
export const externalRegistrySpec = described.omit({ name: true })

export const externalRegistryRoutes = {
  externalRegistries: {
    list: listRoute(publicRegistry, 'external-registries:read', { type: registryTypes }),
    get: getRoute(publicRegistry, 'external-registries:read'),
    create: defineRoute({
      method: 'POST',
      path: '/api/v1/external-registries',
      summary: 'Register a registry elsewhere; its password is stored encrypted and never shown again',
      access: 'external-registries:write',
      body: z.strictObject({
        data: described.extend({ password: passwordSchema.optional() }),
        labels: z.record(z.string(), z.string()).optional(),
      }),
      output: resourceSchema(publicRegistry),
      status: 201,
      errors: ['already-exists'],
    }),
    update: updateRoute(
      publicRegistry,
      'external-registries:write',
      z.strictObject({
        name: nameSchema.optional(),
        url: urlSchema.optional(),
        username: usernameSchema.optional(),
        password: passwordSchema.nullable().optional().describe('Absent: as it was; null: without'),
      }),
    ),
    delete: deleteRoute(externalRegistryKind, 'external-registries:write'),
    test: defineRoute({
      method: 'POST',
      path: '/api/v1/external-registries/:id/test',
      summary: 'Sign in there now, and say in a sentence what works and what does not',
      access: 'external-registries:write',
      params: idParams,
      output: z.object({ working: z.boolean(), message: z.string(), testedAt: z.iso.datetime() }),
      errors: ['not-found'],
    }),
  },
}

/** The part before the path of image references: `docker.io` for all names of Docker Hub, else host and port. */
export function registryHostOf(url: string): string {
  const { host, hostname } = new URL(url)
  return dockerHubHosts.includes(hostname) ? 'docker.io' : host
}

const dockerHubHosts = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'hub.docker.com',
  'registry.hub.docker.com',
]

/**
 * Host and repository of an image name as Docker reads it: `nginx` is `docker.io` and `library/nginx`, and the first
 * part is a host where it has a dot, a colon, or is `localhost`.
 */
export function splitImageName(name: string): { host: string; repository: string } {
  const slash = name.indexOf('/')
  const first = slash < 0 ? '' : name.slice(0, slash)
  if (!/[.:]/.test(first) && first !== 'localhost') {
    return { host: 'docker.io', repository: slash < 0 ? `library/${name}` : name }
  }
  const rest = name.slice(slash + 1)
  const host = dockerHubHosts.includes(first) ? 'docker.io' : first
  return { host, repository: host === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest }
}

function isPlainAddress(text: string): boolean {
  if (!URL.canParse(text)) return true
  const { username, password, search, hash } = new URL(text)
  return [username, password, search, hash].every((part) => part === '')
}
