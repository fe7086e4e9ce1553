import { type ErrorCode, errorTable, listRoutes, type Route } from '@freehold/contracts'
import { z } from 'zod'
import { isNothing } from './parse.ts'

type Json = Record<string, unknown>
/** Codes any route that is not public may answer. */
const commonErrors: ErrorCode[] = [
  'invalid-input',
  'unauthenticated',
  'token-expired',
  'forbidden',
  'internal',
  'unavailable',
]
const publicErrors: ErrorCode[] = ['invalid-input', 'internal', 'unavailable']
const bodyErrors: ErrorCode[] = ['invalid-json', 'body-too-large', 'unsupported-media-type']

/** The contract as an OpenAPI 3.1 document; the same contract always gives the same text. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {}
  for (const { name, route } of listRoutes()) {
    const path = route.path.replace(/:([A-Za-z]+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(name, route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Freehold',
      version,
      description:
        'The control plane of a Freehold cloud. Sign in with `POST /api/v1/login` or send a machine token: `Authorization: Bearer …`. ' +
        'Every failure has the same shape; `error.code` is one of the codes listed with each operation.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A machine token (`fht_…`) or a session (`fhs_…`).' },
        session: { type: 'apiKey', in: 'cookie', name: 'freehold_session' },
      },
      schemas: { Error: errorSchema() },
    },
  }
}

function operation(name: string, route: Route): Json {
  const [noun = ''] = name.split('.')
  return {
    operationId: name,
    tags: [noun],
    summary: route.summary,
    ...(route.access === 'public'
      ? { security: [] }
      : { description: `Needs \`${route.access}\`.`, 'x-freehold-access': route.access }),
    ...parameters(route),
    ...(isNothing(route.body)
      ? {}
      : {
          requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body, 'input') } } },
        }),
    responses: responses(route),
  }
}

function parameters(route: Route): Json {
  const list = [...parametersOf(route.params, 'path'), ...parametersOf(route.query, 'query')]
  return list.length === 0 ? {} : { parameters: list }
}

function parametersOf(schema: z.ZodType, place: 'path' | 'query'): Json[] {
  if (isNothing(schema)) return []
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as { properties?: Json; required?: string[] }
  return Object.entries(properties).map(([name, value]) => {
    const { description, ...rest } = value as Json
    return {
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    }
  })
}

const contentTypes = { json: 'application/json', ndjson: 'application/x-ndjson', sse: 'text/event-stream' }

function responses(route: Route): Json {
  const success = isNothing(route.output)
    ? { description: 'Done' }
    : {
        description: route.format === 'json' ? 'Done' : 'One after the other, as they come',
        content: { [contentTypes[route.format]]: { schema: schemaOf(route.output, 'output') } },
      }
  const codes = new Set<ErrorCode>([
    ...(route.access === 'public' ? publicErrors : commonErrors),
    ...(isNothing(route.body) ? [] : bodyErrors),
    ...route.errors,
  ])
  const byStatus = Map.groupBy(codes, (code) => errorTable[code].status)
  const failures = [...byStatus]
    .toSorted(([a], [b]) => a - b)
    .map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `\`${code}\`: ${errorTable[code].meaning}`).join('\n\n'),
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    ])
  return { [String(route.status)]: success, ...Object.fromEntries(failures) }
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
  return rest
}

function errorSchema(): Json {
  const detail = z.object({ path: z.string().describe('Dotted, empty for the whole'), message: z.string() })
  return schemaOf(
    z.object({
      error: z.object({
        code: z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]),
        message: z.string(),
        action: z.string().describe('What to do about it'),
        details: z.array(detail),
        requestId: z.string().describe('The log has it'),
      }),
    }),
    'output',
  )
}
