/**
 * How a control plane and a build worker (CoreBuild) speak: plain HTTP, dialled by the control plane.
 *
 * `GET /health` answers `{"ok":true}`; `GET /corebuild/v1/capabilities` what the worker can do and how busy it is;
 * `POST /corebuild/v1/jobs/baseos-image` runs one job and answers when it has ended. What always holds:
 *
 * 1. Where the worker has a token, a job needs it: in `Authorization: Bearer`, in `x-corebuild-token`, or as `apiToken` of
 *    the body. One that is right is enough. Health and capabilities ask for none.
 * 2. Unknown fields are ignored by both sides. Everything that document-era callers do not know is optional in requests,
 *    and additional in answers.
 * 3. Who asks with `Accept: application/x-ndjson` gets status 200 at once and lines of `corebuildLineSchema` while the job
 *    waits and runs; the last one is its `result`. Others get the result alone, with its status.
 * 4. Who goes away cancels the job. So does `DELETE /corebuild/v1/jobs/:id`, which needs the token too: of a job that never
 *    was it answers `not-found` with a right one and `unauthenticated` with a wrong one.
 * 5. A worker runs so many jobs at once and lets so many wait; above that it answers 503 `unavailable` with `Retry-After`
 *    in seconds (RFC 9110 §10.2.3).
 * 6. The artifact goes where the job says while it is made: to S3 by multipart (`s3Descriptor`), or to the
 *    control plane (`upload`, by `resumable-uploads.ts`). Nothing of a job stays on the worker but base images in its cache.
 */
import { z } from 'zod'
import { type ErrorCode, errorTable } from './errors.ts'
import { sha256Hex } from './image-values.ts'

export const corebuildPaths = {
  health: '/health',
  capabilities: '/corebuild/v1/capabilities',
  baseosImage: '/corebuild/v1/jobs/baseos-image',
  /** With the job's id behind it: DELETE cancels. */
  jobs: '/corebuild/v1/jobs/',
} as const

export const corebuildTokenHeader = 'x-corebuild-token'
export const corebuildLinesType = 'application/x-ndjson'

export const imageKinds = ['ubuntu-iso', 'balena-raw'] as const
export type ImageKind = (typeof imageKinds)[number]
export const buildArchitectures = ['amd64', 'arm64', 'rpi'] as const
export type BuildArchitecture = (typeof buildArchitectures)[number]

export const corebuildCapabilitiesSchema = z.object({
  workerId: z.string().max(200),
  supportedBuildTypes: z.array(z.string().max(64)).max(32),
  supportedArchitectures: z.array(z.string().max(64)).max(32),
  supportedImageKinds: z.array(z.string().max(64)).max(32),
  cpuCores: z.number(),
  memoryGb: z.number(),
  workdir: z.string().max(1000),
  /** Additions; a worker that does not tell them is asked all the same, and counts as idle. */
  runningJobs: z.int().min(0).optional(),
  waitingJobs: z.int().min(0).optional(),
  maxRunningJobs: z.int().min(1).optional(),
  maxWaitingJobs: z.int().min(0).optional(),
  /** Why some of it cannot be done now, a sentence each: a program is missing, the disk is nearly full. */
  problems: z.array(z.string().max(500)).max(32).optional(),
})
export type CorebuildCapabilities = z.output<typeof corebuildCapabilitiesSchema>

/** Names of S3 are as the seeds have them. */
export const corebuildS3Schema = z.object({
  endpoint: z.string().min(1).max(500),
  accessKey: z.string().min(1).max(500),
  accessSecret: z.string().min(1).max(500),
  bucketName: z.string().min(3).max(63),
  port: z.coerce.number().int().min(1).max(65_535).optional(),
  useSsl: z.boolean().default(true),
  region: z.string().max(64).optional(),
})
export type CorebuildS3 = z.output<typeof corebuildS3Schema>

/** Names jobs, hosts' folders and keys of artifacts, so it holds only what none of them can misread. */
const jobId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, . _ and -, at most 64')
const httpUrl = z.url({ protocol: /^https?$/ }).max(4000)

export const corebuildJobSchema = z.object({
  id: jobId,
  architecture: z.enum(buildArchitectures),
  imageKind: z.enum(imageKinds),
  cloudlyUrl: httpUrl,
  provisioningToken: z.string().min(1).max(512),
  /** Of Ubuntu's own, 24.04 where it is left out; of a base that is named it is demanded where it is given. */
  ubuntuVersion: z.string().max(16).optional(),
  /** Mandatory for `balena-raw`. Of `ubuntu-iso` without one, the worker takes Ubuntu's own of that version. */
  sourceImageUrl: httpUrl.optional(),
  sourceImageSha256: sha256Hex.optional(),
  hostname: z.string().max(63).optional(),
  sshPublicKey: z.string().max(16_384).optional(),
  sshUser: z.string().max(32).optional(),
  wifi: z.object({ ssid: z.string(), passphrase: z.string().optional(), hidden: z.boolean().optional() }).optional(),
  heartbeatIntervalMs: z.int().min(1000).optional(),
  /** Of `balena-raw`. */
  compression: z.enum(['xz', 'zst', 'none']).optional(),
  /** The device agent that `ubuntu-iso` installs, a `.tar.gz`. */
  agent: z.object({ url: httpUrl, sha256: sha256Hex }).optional(),
  s3Descriptor: corebuildS3Schema.optional(),
  artifactKey: z.string().min(1).max(900).optional(),
  upload: z.object({ url: httpUrl, token: z.string().min(1).max(512) }).optional(),
})
export type CorebuildJob = z.output<typeof corebuildJobSchema>

export const corebuildRequestSchema = z.object({ apiToken: z.string().max(1024).optional(), job: corebuildJobSchema })

export const corebuildArtifactSchema = z.object({
  /** Empty where the artifact went to the control plane. */
  bucketName: z.string(),
  key: z.string(),
  filename: z.string(),
  contentType: z.string(),
  /** Bytes. */
  size: z.int(),
  sha256: sha256Hex,
  /** Milliseconds since 1970. */
  createdAt: z.number(),
})
export type CorebuildArtifact = z.output<typeof corebuildArtifactSchema>

/** The answer of a job. A failure has the status of its code: 400, 401, 409, 503 … */
export const corebuildResultSchema = z.discriminatedUnion('success', [
  z.object({ success: z.literal(true), artifact: corebuildArtifactSchema, logs: z.array(z.string()) }),
  z.object({
    success: z.literal(false),
    /** A sentence that says what is wrong and what to do. */
    error: z.string(),
    code: z.enum(Object.keys(errorTable) as [ErrorCode]).catch('internal'),
    logs: z.array(z.string()),
  }),
])
export type CorebuildResult = z.output<typeof corebuildResultSchema>

/** A line of a job's answer. Lines of an unknown kind are passed over; an empty one only says that the job lives. */
export const corebuildLineSchema = z.union([
  z.object({ result: corebuildResultSchema }),
  /** Jobs before it. */
  z.object({ waiting: z.int().min(0) }),
  z.object({
    progress: z.object({ phase: z.string().max(32), doneBytes: z.number(), totalBytes: z.number().nullable() }),
  }),
  z.object({ log: z.string().max(4000) }),
])
export type CorebuildLine = z.output<typeof corebuildLineSchema>

export const corebuildLimits = {
  requestBytes: 256 * 1024,
  /** Log lines of a job that are kept and answered: the first tenth and the newest. */
  logLines: 2000,
  lineCharacters: 4000,
  /** A worker says something at least this often. */
  quietMs: 10_000,
} as const
