import { type Command, Option } from 'commander'
import { z } from 'zod'
import type { Api } from '../api.ts'
import { type Data, readValue } from '../input/assign.ts'
import { unwrap } from '../schema.ts'
import { find } from './lookup.ts'
import { findNoun, listNouns, type Noun, referenceOf } from './noun.ts'
import { numberOf } from './values.ts'

/** Fields that never become a flag because what is in argv can be seen by others on the machine. */
export const secretFields = ['password']

/** Flags with a name people expect rather than the field's own; `--version` is the whole command's. */
const flagNames: Record<string, string> = { scaleFactor: 'replicas', version: 'release-version' }

interface FieldFlag {
  field: string
  schema: z.ZodType
  /** As on the line, without dashes. */
  flag: string
  /** As in commander's parsed options. */
  property: string
  /** Plural of the noun whose name or id is expected. */
  reference: string | undefined
}

/** Flags for the plain fields of a noun: texts, numbers, choices, yes/no, and names of other resources. */
export function fieldFlags(fields: Record<string, z.ZodType>): FieldFlag[] {
  return Object.entries(fields).flatMap(([field, schema]) => {
    const inner = unwrap(schema)
    const isPlain = inner instanceof z.ZodEnum || ['string', 'number', 'boolean'].includes(inner.def.type)
    if (!isPlain || secretFields.includes(field)) return []
    const reference = referenceOf(field)
    const flag = flagNames[field] ?? kebab(reference === undefined ? field : field.slice(0, -2))
    return [{ field, schema, flag, property: camel(flag), reference }]
  })
}

/** Adds the flags to a command. */
export function addFieldFlags(command: Command, flags: readonly FieldFlag[]): void {
  for (const { flag, field, schema, reference } of flags) {
    const inner = unwrap(schema)
    const about = describe(field, { schema, reference })
    if (inner instanceof z.ZodBoolean) {
      command.option(`--${flag}`, `turn ${field} on`).option(`--no-${flag}`, `turn ${field} off`)
    } else if (inner instanceof z.ZodEnum) {
      command.addOption(new Option(`--${flag} <choice>`, about).choices(inner.options.map(String)))
    } else {
      command.option(`--${flag} <${reference === undefined ? placeholder(inner) : 'name|id'}>`, about)
    }
  }
}

/** The values of the flags that were given, with names of other resources looked up. */
export async function readFieldFlags(
  api: () => Promise<Api>,
  flags: readonly FieldFlag[],
  options: Record<string, unknown>,
): Promise<Data> {
  const values: Data = {}
  for (const { field, flag, schema, property, reference } of flags) {
    const given = options[property]
    if (given === undefined) continue
    if (reference !== undefined) values[field] = await idOf(await api(), reference, String(given))
    else if (typeof given !== 'string') values[field] = given
    else if (unwrap(schema) instanceof z.ZodNumber) values[field] = numberOf(`--${flag}`, given)
    else values[field] = readValue(given, schema)
  }
  return values
}

/** Flags that narrow a list down: its index filters. */
export function filterFlags(noun: Noun): FieldFlag[] {
  return Object.entries(noun.filters).map(([field, schema]) => {
    const reference = referenceOf(field)
    const flag = kebab(reference === undefined ? field : field.slice(0, -2))
    return { field, schema, flag, property: camel(flag), reference }
  })
}

/** The id behind a name, for a noun named by its plural. */
async function idOf(api: Api, plural: string, reference: string): Promise<string> {
  return (await find(api, findNoun(listNouns(), plural), reference)).id
}

/** `imageVersion` → `image-version`. */
function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function describe(field: string, about: { schema: z.ZodType; reference: string | undefined }): string {
  if (about.reference !== undefined) return `${about.reference.slice(0, -1)} it belongs to`
  return about.schema.description ?? unwrap(about.schema).description ?? `the field ${field}`
}

function placeholder(schema: z.ZodType): string {
  return schema.def.type === 'number' ? 'number' : 'text'
}
