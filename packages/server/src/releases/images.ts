import { FreeholdError, manifestKind, repositorySchema, tagKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'

/** An image of our registry, by digest. */
export interface ResolvedImage {
  repository: string
  digest: string
}

/** Finds the image that a reference means now. Throws `invalid-input` and `not-found` with the path of the field. */
export type ResolveImage = (reads: Reads, input: { reference: string; path: string }) => Promise<ResolvedImage>

/**
 * Resolves `repository:tag` and `repository@sha256:…` by the rows of our registry. The registry's own host in front is
 * taken off. What lies elsewhere is refused: a release outlives whatever another registry does with a tag.
 */
export function createImageResolver({ registryHost }: { registryHost: () => string }): ResolveImage {
  return async (reads, { reference, path }) => {
    const refuse = (code: 'invalid-input' | 'not-found', message: string) =>
      new FreeholdError(code, `${path}: ${message}`, { details: [{ path, message }] })
    const own = `${registryHost()}/`
    const local = reference.startsWith(own) ? reference.slice(own.length) : reference
    const parsed = parseReference(local)
    const found = parsed === undefined ? undefined : await find(reads, parsed)
    if (found === undefined && namesHost(local)) {
      throw refuse(
        'invalid-input',
        `${reference} is in another registry, and a release is made of images of this one. \`freehold images import ${reference}\` copies it here.`,
      )
    }
    if (parsed === undefined) {
      throw refuse(
        'invalid-input',
        `${reference} is no image of this registry; write repository:tag or repository@sha256:….`,
      )
    }
    if (found === undefined) {
      throw refuse('not-found', `This registry has no ${reference}. Push ${own}${local.split('@')[0]} first.`)
    }
    const { artifactType, repository, digest, mediaType } = found
    if (!isImage({ artifactType, mediaType })) {
      throw refuse('invalid-input', `${reference} is no container image but ${artifactType ?? mediaType}.`)
    }
    return { repository, digest }
  }
}

interface Reference {
  repository: string
  tag?: string
  digest?: string
}

function parseReference(reference: string): Reference | undefined {
  const [, name = '', tag, digest] =
    /^([^:@]+)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?$/.exec(
      reference,
    ) ?? []
  const repository = repositorySchema.safeParse(name)
  if (!repository.success || (tag === undefined && digest === undefined)) return undefined
  return { repository: repository.data, ...(digest === undefined ? { tag: tag ?? '' } : { digest }) }
}

async function find(reads: Reads, { repository, tag, digest }: Reference) {
  const named = digest ?? (await reads.find(tagKind, 'reference', `${repository}:${tag}`))?.data.digest ?? undefined
  if (named === undefined) return undefined
  return (await reads.find(manifestKind, 'reference', `${repository}@${named}`))?.data
}

/** As Docker tells a host from a path: by a dot, a port, or the name localhost in the first part. */
function namesHost(reference: string): boolean {
  const [first = '', ...others] = reference.split('/')
  return others.length > 0 && (/[.:]/.test(first) || first === 'localhost')
}

/** Signatures, attestations and other artifacts say so by their type; an index names what it is for each platform. */
function isImage({ artifactType, mediaType }: { artifactType: string | null; mediaType: string }): boolean {
  if (/\.(index|list)\.v/.test(mediaType)) return true
  return artifactType === null || /oci\.image\.config\.v1|docker\.container\.image\.v1/.test(artifactType)
}
