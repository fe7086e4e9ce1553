import { z } from 'zod'

/** Everything desired or observed has this one shape (ARCHITECTURE.md, "The resource store"). */
export interface Resource<Data = unknown, Status = unknown> {
  kind: string
  /** UUIDv7 (RFC 9562 §5.7). */
  id: string
  /** Desired: written by people and the API. */
  data: Data
  /** Observed: written by agents and reconcilers only. */
  status: Status
  /** Plus one whenever `data` changes. */
  generation: number
  /** Strictly increasing over the whole store: optimistic lock and watch cursor. */
  version: number
  labels: Record<string, string>
  /** RFC 3339, UTC. */
  createdAt: string
  updatedAt: string
}

/** A key computed from a resource; undefined leaves the resource out of that index. */
export type KeyOf<Data, Status> = (resource: {
  id: string
  data: Data
  status: Status
  labels: Record<string, string>
}) => string | undefined

export interface Kind<Name extends string = string, Data = unknown, Status = unknown> {
  /** Singular, as in `kind` of a resource: `service`. */
  name: Name
  /** Path segment and CLI noun: `services`. */
  plural: string
  data: z.ZodType<Data>
  status: z.ZodType<Status>
  /** The status of a resource nothing has observed yet. */
  initialStatus: Status
  /** Many resources may share a key. `list({ where: { <index>: key } })` uses them. */
  indexes: Record<string, KeyOf<Data, Status>>
  /** One resource a key; a second is refused with `already-exists`. */
  unique: Record<string, KeyOf<Data, Status>>
  /** Top-level fields of `data` that never leave the store by audit, feed or API (hashes, keys). */
  redact: string[]
}

/** The type of a resource of a kind. */
export type ResourceOf<K> = K extends Kind<string, infer Data, infer Status> ? Resource<Data, Status> : never

/** Declares a kind; indexes, unique keys and redactions default to none. */
export function defineKind<Name extends string, DataSchema extends z.ZodType, StatusSchema extends z.ZodType>(kind: {
  name: Name
  plural: string
  data: DataSchema
  status: StatusSchema
  initialStatus: z.output<StatusSchema>
  indexes?: Record<string, KeyOf<z.output<DataSchema>, z.output<StatusSchema>>>
  unique?: Record<string, KeyOf<z.output<DataSchema>, z.output<StatusSchema>>>
  redact?: (keyof z.output<DataSchema> & string)[]
}): Omit<Kind<Name, z.output<DataSchema>, z.output<StatusSchema>>, 'data' | 'status'> & {
  data: DataSchema
  status: StatusSchema
} {
  return { indexes: {}, unique: {}, redact: [], ...kind } as never
}

export const idSchema = z.uuid().describe('UUIDv7')
/** What lists, terminals and files show as one line: no control characters, no breaks, nothing that turns its direction. */
export const oneLine = z
  .string()
  .regex(
    /^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]*$/u,
    'must be one line, without control characters such as tabs and line breaks',
  )

function labelsWith(value: z.ZodString) {
  return z
    .record(
      z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/, 'letters, digits, . _ / -, at most 63'),
      value.max(256),
    )
    .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels')
}

/** Labels as people may write them. */
export const labelsSchema = labelsWith(oneLine)
/** Labels as they may be kept since before their values were one line, and those of containers, which programs read. */
export const keptLabelsSchema = labelsWith(z.string())

/** The wire schema of a resource; redacted fields are absent from `data`. */
export function resourceSchema<K extends { name: string; data: z.ZodType; status: z.ZodType }>(kind: K) {
  return z.object({
    kind: z.literal(kind.name),
    id: idSchema,
    data: kind.data as K['data'],
    status: kind.status as K['status'],
    generation: z.int(),
    version: z.int(),
    labels: z.record(z.string(), z.string()),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
}

/** A name that is also a DNS label (RFC 1123 §2.1), short enough to carry a suffix. */
export const nameSchema = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
    'lower-case letters, digits and -, at most 40, not starting or ending with -',
  )
