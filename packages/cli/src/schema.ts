import { z } from 'zod'

/** The fields of an object schema; empty for any other. */
export function fieldsOf(schema: z.ZodType | undefined): Record<string, z.ZodType> {
  const inner = schema === undefined ? undefined : unwrap(schema)
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : {}
}

/** The schema below optional, nullable and default. */
export function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodNullable) {
    inner = inner.unwrap() as z.ZodType
  }
  return inner
}

/** The schema of the value at a path; undefined where the schema knows no such place. */
export function schemaAt(schema: z.ZodType, path: readonly string[]): z.ZodType | undefined {
  const [name, ...rest] = path
  if (name === undefined) return schema
  return childrenAt(unwrap(schema), name)
    .map((child) => schemaAt(child, rest))
    .find((found) => found !== undefined)
}

function childrenAt(schema: z.ZodType, name: string): z.ZodType[] {
  if (schema instanceof z.ZodUnion) {
    return schema.options.flatMap((option) => childrenAt(unwrap(option as z.ZodType), name))
  }
  if (schema instanceof z.ZodObject) {
    const child = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined
    return child === undefined ? [] : [child]
  }
  if (schema instanceof z.ZodArray) return /^\d+$/.test(name) ? [schema.element as z.ZodType] : []
  if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType]
  return []
}

/**
 * The same value with its keys in a fixed order: those a schema names in the schema's order, all others
 * alphabetically. Two equal states then give equal text.
 */
export function orderKeys(schema: z.ZodType | undefined, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item, index) => orderKeys(below(schema, String(index)), item))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const order = orderOf(schema, value)
  const rank = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length)
  entries.sort(([one], [other]) => rank(one) - rank(other) || (one < other ? -1 : 1))
  return Object.fromEntries(entries.map(([name, item]) => [name, orderKeys(below(schema, name), item)]))
}

function below(schema: z.ZodType | undefined, name: string): z.ZodType | undefined {
  return schema === undefined ? undefined : schemaAt(schema, [name])
}

function orderOf(schema: z.ZodType | undefined, value: object): string[] {
  const inner = schema === undefined ? undefined : unwrap(schema)
  if (inner instanceof z.ZodObject) return Object.keys(inner.shape)
  if (!(inner instanceof z.ZodUnion)) return []
  const fitting = inner.options.find((option) =>
    Object.keys(value).every((name) => name in fieldsOf(option as z.ZodType)),
  )
  return Object.keys(fieldsOf(fitting as z.ZodType | undefined))
}
