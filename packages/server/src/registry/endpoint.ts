import { digestSchema, repositorySchema } from '@freehold/contracts'
import { RegistryError } from './errors.ts'

/** What a request asks for: the path of OCI Distribution 1.1, "Endpoints", with its names parsed. */
export type Endpoint =
  | { kind: 'base' }
  | { kind: 'token' }
  | { kind: 'catalog' }
  | { kind: 'tags'; repository: string }
  | { kind: 'manifest'; repository: string; reference: Reference }
  | { kind: 'referrers'; repository: string; digest: string }
  | { kind: 'blob'; repository: string; digest: string }
  | { kind: 'uploads'; repository: string }
  | { kind: 'upload'; repository: string; session: string }

/** A manifest is named by a tag or by its digest. */
export type Reference = { kind: 'tag'; tag: string } | { kind: 'digest'; digest: string }

const methods: Record<Endpoint['kind'], readonly string[]> = {
  base: ['GET', 'HEAD'],
  token: ['GET', 'POST'],
  catalog: ['GET'],
  tags: ['GET'],
  manifest: ['GET', 'HEAD', 'PUT', 'DELETE'],
  referrers: ['GET'],
  blob: ['GET', 'HEAD', 'DELETE'],
  uploads: ['POST'],
  upload: ['GET', 'PATCH', 'PUT', 'DELETE'],
}

/**
 * Parses method and path (without query). The repository is the longest match, so that a repository may have a
 * component called `blobs` or `manifests`. Throws `name-invalid`, `digest-invalid`, `manifest-invalid` (a tag that is
 * none), `unsupported` (no such endpoint) or `method-not-allowed`.
 */
export function parseEndpoint(method: string, path: string): Endpoint {
  const endpoint = parsePath(decode(path))
  const allowed = methods[endpoint.kind]
  if (!allowed.includes(method)) {
    throw new RegistryError('method-not-allowed', `${method} is not possible here; ${allowed.join(', ')} is.`, {
      headers: { allow: allowed.join(', ') },
    })
  }
  return endpoint
}

function parsePath(path: string): Endpoint {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' }
  if (path === '/v2/token') return { kind: 'token' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  const match =
    /^\/v2\/(?<name>.+)\/(?:(?<tags>tags\/list)|blobs\/(?<uploads>uploads\/?)|blobs\/uploads\/(?<session>[^/]+)|blobs\/(?<blob>[^/]+)|manifests\/(?<reference>[^/]+)|referrers\/(?<subject>[^/]+))$/s.exec(
      path,
    )?.groups
  if (match === undefined) throw new RegistryError('unsupported', 'The registry has no such endpoint.')
  const repository = parseRepository(match.name ?? '')
  if (match.tags !== undefined) return { kind: 'tags', repository }
  if (match.uploads !== undefined) return { kind: 'uploads', repository }
  if (match.session !== undefined) return { kind: 'upload', repository, session: match.session }
  if (match.blob !== undefined) return { kind: 'blob', repository, digest: parseDigestText(match.blob) }
  if (match.subject !== undefined) return { kind: 'referrers', repository, digest: parseDigestText(match.subject) }
  return { kind: 'manifest', repository, reference: parseReference(match.reference ?? '') }
}

/** Throws `name-invalid`. */
export function parseRepository(text: string): string {
  const parsed = repositorySchema.safeParse(text)
  if (parsed.success) return parsed.data
  throw new RegistryError(
    'name-invalid',
    'A repository name is a lower-case path such as workloads/web, at most 255 characters.',
  )
}

/** Throws `digest-invalid`. */
export function parseDigestText(text: string): string {
  const parsed = digestSchema.safeParse(text)
  if (parsed.success) return parsed.data
  throw new RegistryError('digest-invalid', 'A digest is sha256: or sha512: and its lower-case hexadecimal form.')
}

/** OCI Distribution 1.1, "Pulling manifests". Throws `manifest-invalid`. */
export function parseTag(text: string): string {
  if (/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/.test(text)) return text
  throw new RegistryError('manifest-invalid', 'A tag has at most 128 letters, digits, _ . - and begins with no . or -.')
}

function parseReference(text: string): Reference {
  if (text.includes(':')) return { kind: 'digest', digest: parseDigestText(text) }
  return { kind: 'tag', tag: parseTag(text) }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new RegistryError('name-invalid', 'The path is not percent-encoded UTF-8.')
  }
}
