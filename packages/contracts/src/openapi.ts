import { z } from 'zod'
import { type ErrorCode, errorTable } from './errors.ts'
import { changeSchema, identitySchema } from './identity.ts'
import { documentSchema, planChangeSchema } from './plan.ts'
import { resourceSchema } from './resource.ts'
import type { Route } from './route.ts'
import { kinds, listRoutes } from './routes.ts'
import { logLineSchema, taskSchema } from './services.ts'

type Json = Record<string, unknown>

/** Codes that every route with this property may answer besides its own. */
const sharedErrors = {
  all: ['invalid-input', 'internal', 'unavailable'],
  signedIn: ['unauthenticated', 'token-expired', 'forbidden'],
  withBody: ['invalid-json', 'body-too-large', 'unsupported-media-type'],
} as const satisfies Record<string, readonly ErrorCode[]>

const contentTypes = { json: 'application/json', ndjson: 'application/x-ndjson', sse: 'text/event-stream' } as const

/** What every failure looks like on the wire. */
const errorBodySchema = z.object({
  error: z.object({
    code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
    message: z.string().describe('For people: what is wrong'),
    action: z.string().describe('For people: what to do about it'),
    details: z.array(z.object({ path: z.string().describe('Dotted; empty for the whole'), message: z.string() })),
    requestId: z.string().describe('The log has it'),
  }),
})

/**
 * The contract as an OpenAPI 3.1 document. The same contract gives the same text, so that the checked-in copy can be
 * compared. `x-access` holds the action a caller must be allowed (OpenAPI has no word for it).
 */
export function openApiDocument(version: string): Json {
  const components = createComponents()
  const paths: Record<string, Json> = {}
  for (const { name, route } of listRoutes()) {
    const path = route.path.replace(/:([A-Za-z]+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route, components) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Freehold',
      version,
      description:
        'Sign in with `POST /api/v1/login`, or send a machine token as `Authorization: Bearer …`. Every failure has one ' +
        'shape, and `error.code` is one of the codes listed with the operation.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { cookie: [] }],
    tags: [...new Set(listRoutes().map(({ name }) => nounOf(name)))].map((noun) => ({ name: noun })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A machine token or the token of a session.' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'freehold_session' },
      },
      schemas: components.all(),
    },
  }
}

function operation(name: string, route: Route, components: Components): Json {
  const parameters = [
    ...parametersOf(route.params, 'path', components),
    ...parametersOf(route.query, 'query', components),
  ]
  const body = components.schemaOf(route.body, 'input')
  return {
    operationId: name,
    tags: [nounOf(name)],
    summary: route.summary,
    'x-access': route.access,
    ...(route.access === 'public' ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: { [String(route.status)]: success(route, components), ...failures(route, body !== undefined) },
  }
}

function parametersOf(schema: z.ZodType, place: 'path' | 'query', components: Components): Json[] {
  const { properties = {}, required = [] } = (components.schemaOf(schema, 'input') ?? {}) as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }))
}

function success(route: Route, components: Components): Json {
  const schema = components.schemaOf(route.output, 'output')
  if (schema === undefined) return { description: 'Done; the answer has no body.' }
  return {
    description: route.format === 'json' ? 'Done.' : 'One after the other, as they come.',
    content: { [contentTypes[route.format]]: { schema } },
  }
}

function failures(route: Route, withBody: boolean): Record<string, Json> {
  const codes = new Set<ErrorCode>([
    ...sharedErrors.all,
    ...(route.access === 'public' ? [] : sharedErrors.signedIn),
    ...(withBody ? sharedErrors.withBody : []),
    ...route.errors,
  ])
  const byStatus = Map.groupBy(codes, (code) => errorTable[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `\`${code}\`: ${errorTable[code].meaning}`).join('\n\n'),
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    ]),
  )
}

interface Components {
  /** The JSON schema with every named part replaced by a reference; undefined where there is nothing. */
  schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json | undefined
  all(): Record<string, Json>
}

/** Named schemas are recognised by what they say, because a route builds its own copies of them. */
function createComponents(): Components {
  const named: Record<string, Json> = {}
  const names: Names = { of: new Map(), used: new Set(['Error']) }
  const schemaOf = (schema: z.ZodType, io: 'input' | 'output', ownName?: string) => {
    if (schema instanceof z.ZodUndefined) return undefined
    const { $schema: _, $defs = {}, ...json } = jsonSchemaOf(schema, io)
    for (const [local, definition] of Object.entries($defs as Record<string, Json>)) {
      // The one recursive schema of the contract is "any JSON value"; zod numbers such definitions by itself.
      names.of.set(`#/$defs/${local}`, 'JsonValue')
      named.JsonValue = replaceNamed(definition, names, undefined) as Json
    }
    return replaceNamed(json, names, ownName) as Json
  }
  for (const [name, schema] of Object.entries(namedSchemas())) {
    const json = schemaOf(schema, 'output', name)
    if (json === undefined) continue
    named[name] = json
    names.of.set(JSON.stringify(json), name)
  }
  return {
    schemaOf: (schema, io) => schemaOf(schema, io),
    all: () => Object.fromEntries(Object.entries(named).filter(([name]) => names.used.has(name))),
  }
}

/** Says less than zod does: a format needs no pattern, and who reads an answer must bear fields it does not know. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema: json }) => {
      if (json.format !== undefined) delete json.pattern
      if (json.minimum === Number.MIN_SAFE_INTEGER) delete json.minimum
      if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum
      if (io === 'output' && json.additionalProperties === false) delete json.additionalProperties
    },
  }) as Json
}

/** Smaller parts first, so that the larger ones refer to them. */
function namedSchemas(): Record<string, z.ZodType> {
  const resources = Object.values(kinds).map((kind) => {
    const redacted: readonly string[] = kind.redact
    const shown = Object.entries(kind.data.shape).filter(([field]) => !redacted.includes(field))
    return [pascalCase(kind.name), resourceSchema({ ...kind, data: z.object(Object.fromEntries(shown)) })] as const
  })
  return {
    Error: errorBodySchema,
    Task: taskSchema,
    LogLine: logLineSchema,
    Identity: identitySchema,
    Change: changeSchema,
    PlanChange: planChangeSchema,
    Document: documentSchema,
    ...Object.fromEntries(resources),
  }
}

interface Names {
  /** By the text of the schema, or by the local reference that zod gave it. */
  of: Map<string, string>
  used: Set<string>
}

function replaceNamed(value: unknown, names: Names, ownName: string | undefined): unknown {
  if (Array.isArray(value)) return value.map((item) => replaceNamed(item, names, ownName))
  if (typeof value !== 'object' || value === null) return value
  const reference = (name: string) => {
    names.used.add(name)
    return { $ref: `#/components/schemas/${name}` }
  }
  const local = '$ref' in value && typeof value.$ref === 'string' ? names.of.get(value.$ref) : undefined
  if (local !== undefined) return reference(local)
  const replaced = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, replaceNamed(item, names, ownName)]),
  )
  const name = names.of.get(JSON.stringify(replaced))
  return name === undefined || name === ownName ? replaced : reference(name)
}

function nounOf(name: string): string {
  return name.split('.')[0] ?? name
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
