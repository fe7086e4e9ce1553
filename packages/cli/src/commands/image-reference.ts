import { digestSchema, tagNameSchema } from '@freehold/contracts'
import type { AnyResource, Api } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import type { Runtime } from '../runtime.ts'

/** The image with this name or id, and the API it came from. */
export async function openImage(runtime: Runtime, name: string): Promise<{ api: Api; image: AnyResource }> {
  const api = await runtime.api()
  return { api, image: await find(api, findNoun(listNouns(), 'images'), name) }
}

export interface ImageReference {
  name: string
  tag?: string
  digest?: string
}

/** Reads `name`, `name:tag` or `name@digest`. Throws for a tag or digest that cannot be one. */
export function parseReference(reference: string): ImageReference {
  const at = reference.lastIndexOf('@')
  if (at >= 0) {
    const digest = digestSchema.safeParse(reference.slice(at + 1))
    if (!digest.success) throw wrong(reference, 'The digest after @ is sha256: and 64 hexadecimal characters.')
    return { name: reference.slice(0, at), digest: digest.data }
  }
  const colon = reference.lastIndexOf(':')
  if (colon < 0) return { name: reference }
  const tag = tagNameSchema.safeParse(reference.slice(colon + 1))
  if (!tag.success) throw wrong(reference, 'A tag has letters, digits, _ . and -, at most 128.')
  return { name: reference.slice(0, colon), tag: tag.data }
}

function wrong(reference: string, action: string): CliError {
  return new CliError(exitCodes.usage, `"${reference}" names no version of an image.`, action)
}
