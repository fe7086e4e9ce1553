import { z } from 'zod'
import { deviceNodeIdPattern } from './device-limits.ts'
import { releaseWindowSchema } from './release-rollouts.ts'
import { defineKind, idSchema } from './resource.ts'
import { defineRoute } from './route.ts'

/**
 * The signed channel (The Update Framework 1.0.34). Metadata lies below `/updates/metadata/` with consistent snapshots
 * (§6.2: `N.root.json`, `N.targets.json`, `N.snapshot.json`, `timestamp.json`); targets below `/updates/`, where a file is
 * found by its own path and as `<sha256>.<name>` in the same folder. Keys are ed25519, signatures over canonical JSON.
 */
export const updateRoles = ['root', 'targets', 'snapshot', 'timestamp'] as const
export type UpdateRole = (typeof updateRoles)[number]

export const updateMetadataPath = '/updates/metadata/'
export const updateTargetsPath = '/updates/'

/** The target that says which keys sign assignments: `{"threshold":1,"keys":{"<keyid>":{keytype,scheme,keyval}}}`. */
export const assignmentKeysTarget = 'keys/assignments.json'

export const signatureSchema = z.object({ keyid: z.string(), sig: z.string() })
export const signedMetadataSchema = z.object({
  signed: z.looseObject({ _type: z.string(), version: z.int() }),
  signatures: z.array(signatureSchema).max(100),
})
export type SignedMetadata = z.output<typeof signedMetadataSchema>

/** A release that is assigned to one device. */
export const assignedReleaseSchema = z.object({
  releaseId: idSchema,
  version: z.string(),
  /** Path of its manifest in the signed targets. */
  target: z.string(),
  /** Hexadecimal SHA-256 of the manifest. */
  sha256: z.string(),
  rolloutId: idSchema.nullable(),
  /** Another number than before: try again, also where it failed. */
  attempt: z.int(),
  window: releaseWindowSchema.nullable(),
  soakSeconds: z.int(),
  force: z.boolean(),
  /** True: the device finishes what it began, and begins nothing (a paused rollout). */
  held: z.boolean(),
})
export type AssignedRelease = z.output<typeof assignedReleaseSchema>

export const deviceActionKinds = ['update', 'reboot'] as const
export const deviceActionSchema = z.object({
  id: idSchema,
  kind: z.enum(deviceActionKinds),
  force: z.boolean(),
  /** Not begun after that. */
  expiresAt: z.iso.datetime(),
})

/** What one device shall do, signed for it alone. Null releases: what is there stays as it is. */
export const assignmentSchema = z.object({
  _type: z.literal('assignment'),
  nodeId: z.string().regex(deviceNodeIdPattern),
  /** Rises with every assignment of the device; an older one is refused. */
  counter: z.int(),
  issuedAt: z.iso.datetime(),
  /** Nothing is begun by it after that. */
  expiresAt: z.iso.datetime(),
  app: assignedReleaseSchema.nullable(),
  host: assignedReleaseSchema.nullable(),
  actions: z.array(deviceActionSchema).max(16),
})
export type Assignment = z.output<typeof assignmentSchema>
/** Signatures are over the canonical JSON of `signed`, as those of metadata are. */
export const signedAssignmentSchema = z.object({ signed: assignmentSchema, signatures: z.array(signatureSchema) })
export type SignedAssignment = z.output<typeof signedAssignmentSchema>

/** One version of one role's metadata, as it is served. */
export const updateMetadataKind = defineKind({
  name: 'update-metadata',
  plural: 'update-metadata',
  data: z.strictObject({
    role: z.enum(updateRoles),
    version: z.int().min(1),
    expiresAt: z.iso.datetime(),
    text: z.string(),
  }),
  status: z.object({}),
  initialStatus: {},
  indexes: { role: ({ data }) => data.role },
  unique: { version: ({ data }) => `${data.role}/${data.version}` },
  redact: ['text'],
})

/** A signing key that the control plane holds, encrypted. */
export const updateKeyKind = defineKind({
  name: 'update-key',
  plural: 'update-keys',
  data: z.strictObject({
    role: z.enum([...updateRoles, 'assignment']),
    keyid: z.string(),
    publicKey: z.string().describe('Hexadecimal ed25519 public key'),
    sealed: z.string(),
  }),
  /** Of an assignment key: since when signed targets name it. */
  status: z.object({ publishedAt: z.iso.datetime().nullable() }),
  initialStatus: { publishedAt: null },
  indexes: { role: ({ data }) => data.role },
  unique: { keyid: ({ data }) => `${data.role}/${data.keyid}` },
  redact: ['sealed'],
})

/** A file that `targets` names. Its bytes are `text`, or the blob of that digest. */
export const updateTargetKind = defineKind({
  name: 'update-target',
  plural: 'update-targets',
  data: z.strictObject({
    path: z.string(),
    sha256: z.string(),
    sizeBytes: z.int(),
    text: z.string().nullable(),
    releaseId: idSchema.nullable(),
  }),
  /** `waiting`: the signed targets do not name it yet. `withdrawn`: they still do, and the next shall not. */
  status: z.object({ state: z.enum(['waiting', 'signed', 'withdrawn']) }),
  initialStatus: { state: 'waiting' },
  indexes: {
    releaseId: ({ data }) => data.releaseId ?? undefined,
    /** Only those that signed targets do not tell rightly. */
    pending: ({ status }) => (status.state === 'signed' ? undefined : status.state),
    /** The blob its bytes are in; garbage collection must leave it alone. */
    blob: ({ data }) => (data.text === null ? `sha256:${data.sha256}` : undefined),
  },
  unique: { path: ({ data, status }) => (status.state === 'withdrawn' ? undefined : data.path) },
  redact: ['text'],
})

const roleState = z.object({
  version: z.int(),
  expiresAt: z.iso.datetime(),
  threshold: z.int(),
  keys: z.array(z.object({ keyid: z.string(), publicKey: z.string(), isHere: z.boolean() })),
})
export const updatesStateSchema = z.object({
  roles: z.object({ root: roleState, targets: roleState, snapshot: roleState, timestamp: roleState }),
  /** Releases that wait for a signature of `targets`. */
  unsignedReleases: z.int(),
  /** What an operator must see to, a sentence each. */
  problems: z.array(z.string()),
})
export type UpdatesState = z.output<typeof updatesStateSchema>

export const updateRoutes = {
  updates: {
    get: defineRoute({
      method: 'GET',
      path: '/api/v1/updates',
      summary: 'State of the signed update channel: roles, keys, expiry',
      access: 'releases:read',
      output: updatesStateSchema,
    }),
    root: defineRoute({
      method: 'GET',
      path: '/api/v1/updates/root',
      summary: 'The root metadata in force',
      access: 'releases:read',
      output: signedMetadataSchema,
    }),
    publishRoot: defineRoute({
      method: 'POST',
      path: '/api/v1/updates/root',
      summary: 'Publish the next root metadata, signed elsewhere by the old and the new keys',
      access: 'updates:write',
      body: signedMetadataSchema,
      output: updatesStateSchema,
      errors: ['conflict'],
    }),
    draftTargets: defineRoute({
      method: 'GET',
      path: '/api/v1/updates/targets/draft',
      summary: 'The next targets metadata, to be signed elsewhere',
      access: 'releases:read',
      output: signedMetadataSchema,
      errors: ['conflict'],
    }),
    publishTargets: defineRoute({
      method: 'POST',
      path: '/api/v1/updates/targets',
      summary: 'Publish targets metadata that was signed elsewhere',
      access: 'updates:write',
      body: signedMetadataSchema,
      bodyLimitBytes: 16 * 1024 * 1024,
      output: updatesStateSchema,
      errors: ['conflict'],
    }),
    rotateKey: defineRoute({
      method: 'POST',
      path: '/api/v1/updates/keys/:role/rotate',
      summary:
        "Replace the control plane's key of a role; where the root key is elsewhere, the next root must name the new one",
      access: 'updates:write',
      params: z.object({ role: z.enum([...updateRoles, 'assignment']) }),
      output: z.object({
        state: updatesStateSchema,
        keyid: z.string(),
        publicKey: z.string(),
        isPublished: z.boolean(),
      }),
      errors: ['conflict'],
    }),
    dropRootKey: defineRoute({
      method: 'DELETE',
      path: '/api/v1/updates/keys/root',
      summary: "Forget the control plane's root key, once the root metadata does not need it any more",
      access: 'updates:write',
      output: updatesStateSchema,
      errors: ['conflict'],
    }),
  },
}
