import { z } from 'zod'
import type { Access } from './access.ts'
import type { ErrorCode } from './errors.ts'
import { idSchema, labelsSchema, resourceSchema } from './resource.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * A route as data: the server implements it, client and CLI are typed by it, openapi.json is generated from it.
 * A route without an access rule does not compile.
 */
export interface Route<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Output extends z.ZodType = z.ZodType,
> {
  method: Method
  /** With `:name` parameters: `/api/v1/services/:id`. */
  path: string
  summary: string
  access: Access
  params: Params
  query: Query
  body: Body
  output: Output
  /** `json`: `output` is the body. `ndjson`: a stream of `output` lines. `sse`: server-sent events of `output`. */
  format: 'json' | 'ndjson' | 'sse'
  /** The status of success. */
  status: 200 | 201 | 202 | 204
  /** Codes this route may answer besides those every route may (unauthenticated, forbidden, invalid-input, internal …). */
  errors: readonly ErrorCode[]
  /** Largest accepted body, in bytes. */
  bodyLimitBytes: number
}

const nothing = z.undefined()
type Nothing = typeof nothing
const mebibyte = 1024 * 1024

/** Declares a route; what is not given is "none", and the success status follows the method. */
export function defineRoute<
  Params extends z.ZodType = Nothing,
  Query extends z.ZodType = Nothing,
  Body extends z.ZodType = Nothing,
  Output extends z.ZodType = Nothing,
>(route: {
  method: Method
  path: string
  summary: string
  access: Access
  params?: Params
  query?: Query
  body?: Body
  output?: Output
  format?: Route['format']
  status?: Route['status']
  errors?: readonly ErrorCode[]
  bodyLimitBytes?: number
}): Route<Params, Query, Body, Output> {
  return {
    params: nothing,
    query: nothing,
    body: nothing,
    output: nothing,
    format: 'json',
    status: route.output === undefined ? 204 : 200,
    errors: [],
    bodyLimitBytes: mebibyte,
    ...route,
  } as never
}

export const idParams = z.object({ id: idSchema.describe('Id of the resource') })

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100).describe('Rows on a page'),
  cursor: z.string().max(512).optional().describe('From `nextCursor` of the page before'),
  label: z.string().max(320).optional().describe('`key=value`: only resources with this label'),
  search: z.string().max(100).optional().describe('Only resources whose name contains this text'),
})

/** A page: `version` is the store version it was read at; watch from there and nothing is missed. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable(), version: z.int() })
}

/** Names of a kind's indexes that may be given as query parameters, each with its values, or `any` text. */
export type ListFilters = Record<string, readonly string[] | 'any'>

/** A value that a filter does not know is refused, so that a slip of the pen is no empty list. */
export function listRoute<
  K extends { name: string; plural: string; data: z.ZodType; status: z.ZodType },
  Where extends ListFilters = Record<never, never>,
>(kind: K, access: Access, where?: Where) {
  const filters = Object.fromEntries(
    Object.entries(where ?? {}).map(([name, values]) => {
      const value = values === 'any' ? z.string().max(256) : z.enum(values)
      return [name, value.optional().describe(`Only with this ${name}`)]
    }),
  )
  return defineRoute({
    method: 'GET',
    path: `/api/v1/${kind.plural}`,
    summary: `List ${kind.plural}`,
    access,
    query: pageQuery.extend(filters as unknown as { [Name in keyof Where]: z.ZodOptional<z.ZodType<string, string>> }),
    output: pageOf(resourceSchema(kind)),
    errors: ['invalid-cursor'],
  })
}

/** A list that may also begin with what changed last. */
export function orderedListRoute<
  K extends { name: string; plural: string; data: z.ZodType; status: z.ZodType },
  Where extends ListFilters = Record<never, never>,
>(kind: K, access: Access, where?: Where) {
  const route = listRoute(kind, access, where)
  return defineRoute({
    ...route,
    query: route.query.extend({
      order: z
        .enum(['created', 'changed'])
        .optional()
        .describe('`created` (the default): the oldest first. `changed`: what changed last first'),
    }),
  })
}

export function getRoute<K extends { name: string; plural: string; data: z.ZodType; status: z.ZodType }>(
  kind: K,
  access: Access,
) {
  return defineRoute({
    method: 'GET',
    path: `/api/v1/${kind.plural}/:id`,
    summary: `Get one ${kind.name}`,
    access,
    params: idParams,
    output: resourceSchema(kind),
    errors: ['not-found'],
  })
}

export function createRoute<
  K extends { name: string; plural: string; data: z.ZodType; status: z.ZodType },
  Input extends z.ZodType,
>(kind: K, access: Access, data: Input) {
  return defineRoute({
    method: 'POST',
    path: `/api/v1/${kind.plural}`,
    summary: `Create a ${kind.name}`,
    access,
    body: z.strictObject({ data, labels: labelsSchema.optional() }),
    output: resourceSchema(kind),
    status: 201,
    errors: ['already-exists', 'not-found', 'conflict'],
  })
}

/** `patch` is a JSON merge patch of `data` (RFC 7396): null removes an optional field. */
export function updateRoute<
  K extends { name: string; plural: string; data: z.ZodType; status: z.ZodType },
  Patch extends z.ZodType,
>(kind: K, access: Access, patch: Patch) {
  return defineRoute({
    method: 'PATCH',
    path: `/api/v1/${kind.plural}/:id`,
    summary: `Update a ${kind.name} (JSON merge patch of \`data\`, RFC 7396)`,
    access,
    params: idParams,
    body: z.strictObject({
      version: z
        .int()
        .optional()
        .describe('The version you read; a newer one answers stale-version. Absent: change whatever is there'),
      data: patch.optional(),
      labels: labelsSchema.optional().describe('Replaces all labels'),
    }),
    output: resourceSchema(kind),
    errors: ['not-found', 'stale-version', 'already-exists', 'conflict'],
  })
}

export function deleteRoute<K extends { name: string; plural: string }>(kind: K, access: Access) {
  return defineRoute({
    method: 'DELETE',
    path: `/api/v1/${kind.plural}/:id`,
    summary: `Delete a ${kind.name}`,
    access,
    params: idParams,
    query: z.strictObject({
      version: z.coerce.number().int().optional().describe('Only if it still has this version'),
    }),
    errors: ['not-found', 'stale-version', 'conflict'],
  })
}

/** What RFC 7396 lets one say about a value: any part of it, and null to remove an optional part. */
export type MergePatch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: MergePatch<T[K]> | null }
    : T

/**
 * The merge-patch form of an object schema. Only "it is an object" is checked here: names and types are checked by
 * the whole schema after merging, because defaults of nested fields would otherwise overwrite what is stored. What it is
 * a patch of is its property `patches`.
 */
export function patchOf<Schema extends z.ZodObject>(
  schema: Schema,
): z.ZodType<MergePatch<z.input<Schema>>, MergePatch<z.input<Schema>>> {
  const names = Object.keys(schema.shape).join(', ')
  const patch = z.record(z.string(), z.json()).describe(`JSON merge patch (RFC 7396) of: ${names}`)
  return Object.assign(patch, { patches: schema }) as never
}
