import { validate } from '@readme/openapi-parser'
import { expect, test } from 'vitest'
import { openApiDocument } from './openapi.ts'
import { listRoutes } from './routes.ts'

const document = openApiDocument('1.2.3')
const text = JSON.stringify(document)
type Operation = {
  operationId: string
  security?: unknown[]
  'x-access': string
  responses: Record<string, { content?: Record<string, unknown> }>
}
const operations = Object.values(document.paths as Record<string, Record<string, Operation>>).flatMap((methods) =>
  Object.values(methods),
)
function operation(name: string): Operation {
  const found = operations.find((candidate) => candidate.operationId === name)
  if (found === undefined) throw new Error(`The document lacks ${name}.`)
  return found
}

test('an independent validator finds no fault with the document', async () => {
  expect(await validate(JSON.parse(text))).toMatchObject({ valid: true })
})

test('a document with a broken reference is found faulty, so the validator does look', async () => {
  const broken = JSON.parse(text.replaceAll('#/components/schemas/Error"', '#/components/schemas/Nowhere"'))
  expect((await validate(broken).catch(() => ({ valid: false }))).valid).toBe(false)
})

test('every route of the contract is there once, with its access rule', () => {
  expect(operations.map((entry) => entry.operationId).toSorted()).toEqual(
    listRoutes()
      .map(({ name }) => name)
      .toSorted(),
  )
  for (const { name, route } of listRoutes()) expect(operation(name)['x-access']).toBe(route.access)
})

test('public routes need no security, and all others do', () => {
  expect(operation('auth.login').security).toEqual([])
  expect(operation('services.list').security).toBeUndefined()
  expect(document.security).toEqual([{ bearer: [] }, { cookie: [] }])
})

test('streams are declared as what they are', () => {
  expect(Object.keys(operation('services.logs').responses['200']?.content ?? {})).toEqual(['application/x-ndjson'])
  expect(Object.keys(operation('changes.watch').responses['200']?.content ?? {})).toEqual(['text/event-stream'])
})

test('every reference inside leads somewhere, and every named schema is used', () => {
  const { schemas } = document.components as { schemas: Record<string, unknown> }
  const used = new Set([...text.matchAll(/"#\/components\/schemas\/([A-Za-z]+)"/g)].map((match) => match[1]))
  expect([...used].toSorted()).toEqual(Object.keys(schemas).toSorted())
  expect(text).not.toContain('$defs')
})

test('redacted fields are in no schema of an answer', () => {
  const answers = JSON.stringify([document.components, operations.map((entry) => entry.responses)])
  expect(answers).not.toContain('passwordHash')
})

test('the same contract gives the same text', () => {
  expect(JSON.stringify(openApiDocument('1.2.3'))).toBe(text)
})
