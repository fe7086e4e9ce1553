import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { grant } from './access.ts'
import { type Endpoint, parseEndpoint } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import { pageOfNames, type ReadNames } from './list-routes.ts'
import { mediaTypes, parseManifest } from './manifest.ts'
import { parseChunkRange, parseRange } from './ranges.ts'
import { parseScopes, scopeText } from './scope.ts'
import { sha256, testUser } from './testing.ts'
import { createTokenIssuer } from './token.ts'
import { createUploadSessions } from './upload-session.ts'

const component = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}$/)
const repository = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)
const hexadecimal = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`))
const digest = fc.oneof(
  hexadecimal(64).map((hex) => `sha256:${hex}`),
  hexadecimal(128).map((hex) => `sha512:${hex}`),
)

/** A parser answers or refuses with an error of the table; nothing else. */
function refusalOf<T>(work: () => T): T | RegistryError {
  try {
    return work()
  } catch (error) {
    if (error instanceof RegistryError) return error
    throw error
  }
}

describe('paths', () => {
  it('of the specification parse to what they were made of', () => {
    fc.assert(
      fc.property(repository, tag, digest, (name, tagName, digestText) => {
        const cases: [string, string, Endpoint][] = [
          ['GET', `/v2/${name}/tags/list`, { kind: 'tags', repository: name }],
          [
            'PUT',
            `/v2/${name}/manifests/${tagName}`,
            { kind: 'manifest', repository: name, reference: { kind: 'tag', tag: tagName } },
          ],
          [
            'HEAD',
            `/v2/${name}/manifests/${digestText}`,
            { kind: 'manifest', repository: name, reference: { kind: 'digest', digest: digestText } },
          ],
          [
            'GET',
            `/v2/${name}/blobs/${encodeURIComponent(digestText)}`,
            { kind: 'blob', repository: name, digest: digestText },
          ],
          ['POST', `/v2/${name}/blobs/uploads/`, { kind: 'uploads', repository: name }],
          [
            'PATCH',
            `/v2/${name}/blobs/uploads/some-session`,
            { kind: 'upload', repository: name, session: 'some-session' },
          ],
          ['GET', `/v2/${name}/referrers/${digestText}`, { kind: 'referrers', repository: name, digest: digestText }],
        ]
        for (const [method, path, endpoint] of cases) expect(parseEndpoint(method, path)).toEqual(endpoint)
      }),
    )
  })

  it('of any other kind are refused, never misread', () => {
    const piece = fc.constantFrom(
      'v2',
      'blobs',
      'uploads',
      'manifests',
      'tags',
      'list',
      '..',
      '.',
      '',
      '%2e%2e',
      '%2F',
      '%',
      'A',
      'a',
      'sha256:x',
      '\0',
      'é',
      '_catalog',
      'token',
    )
    const path = fc.oneof(
      fc.string({ unit: 'binary' }).map((text) => `/v2/${text}`),
      fc.array(piece, { maxLength: 8 }).map((pieces) => `/v2/${pieces.join('/')}`),
    )
    fc.assert(
      fc.property(fc.constantFrom('GET', 'PUT', 'DELETE', 'PATCH', 'POST', 'TRACE'), path, (method, text) => {
        const parsed = refusalOf(() => parseEndpoint(method, text))
        if (parsed instanceof RegistryError) return
        if ('repository' in parsed) {
          expect(parsed.repository).toMatch(/^[a-z0-9][a-z0-9._/-]*$/)
          expect(parsed.repository.split('/')).not.toContain('..')
        }
        if ('digest' in parsed) expect(parsed.digest).toMatch(/^sha(256|512):[0-9a-f]+$/)
      }),
      { numRuns: 2000 },
    )
  })

  it('of great length are answered at once', () => {
    const startedAt = performance.now()
    for (const text of ['a/'.repeat(8000), 'blobs/uploads/'.repeat(1100), `${'a'.repeat(8000)}!`, '-'.repeat(16_000)]) {
      expect(refusalOf(() => parseEndpoint('GET', `/v2/${text}/manifests/x`))).toBeInstanceOf(RegistryError)
    }
    expect(performance.now() - startedAt).toBeLessThan(5000)
  })
})

describe('ranges', () => {
  it('lie within the content and say what was asked', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(60), fc.nat(60), (sizeBytes, first, last) => {
        const content = Array.from({ length: sizeBytes }, (_, index) => index)
        const part = parseRange(`bytes=${first}-${last}`, sizeBytes)
        if (last < first) expect(part).toBe('whole')
        else if (first >= sizeBytes) expect(part).toBe('unsatisfiable')
        else expect(part).toEqual({ start: first, end: content.slice(first, last + 1).at(-1) })
        const suffix = parseRange(`bytes=-${last}`, sizeBytes)
        if (last === 0 || sizeBytes === 0) expect(suffix).toBe('unsatisfiable')
        else expect(suffix).toEqual({ start: content.slice(-last)[0], end: sizeBytes - 1 })
      }),
    )
  })

  it('are whole or within the content for any header', () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9, -]{0,20}$/))
    fc.assert(
      fc.property(header, fc.nat(100), (text, sizeBytes) => {
        const part = parseRange(text, sizeBytes)
        if (typeof part === 'string') return
        expect(part.start).toBeGreaterThanOrEqual(0)
        expect(part.end).toBeGreaterThanOrEqual(part.start)
        expect(part.end).toBeLessThan(sizeBytes)
      }),
    )
  })

  it('of chunks are two whole numbers in order', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (start, end) => {
        expect(parseChunkRange(`${start}-${end}`)).toEqual(start <= end ? { start, end } : undefined)
      }),
    )
    for (const text of [
      '',
      '-',
      '1-',
      '-1',
      'bytes 0-1',
      '0-1/2',
      ' 0-1',
      '0-1 ',
      '0-9999999999999999',
      '1.0-2',
      '٠-١',
    ]) {
      expect(parseChunkRange(text), text).toBeUndefined()
    }
  })
})

describe('manifests', () => {
  const descriptor = fc.record({ mediaType: fc.constant('application/octet-stream'), digest, size: fc.nat() })
  const noTwoSizes = (parts: { digest: string }[]) => new Set(parts.map((part) => part.digest)).size === parts.length

  it('name each of their blobs once', () => {
    fc.assert(
      fc.property(descriptor, fc.array(descriptor).filter(noTwoSizes), (config, layers) => {
        fc.pre(layers.every((layer) => layer.digest !== config.digest))
        const text = JSON.stringify({
          schemaVersion: 2,
          config,
          layers: [...layers, ...layers],
          unknown: { kept: true },
        })
        const parsed = parseManifest(Buffer.from(text), undefined)
        expect(parsed.mediaType).toBe(mediaTypes.ociManifest)
        expect(parsed.blobs).toEqual([config, ...layers])
        expect(parsed.requiredBlobs).toEqual([config, ...layers])
      }),
    )
  })

  it('are parsed or refused, whatever the bytes', () => {
    const config = { mediaType: 'x', digest: sha256('x'), size: 1 }
    const nearly = fc.record(
      {
        schemaVersion: fc.constantFrom(2, 1, '2', null),
        mediaType: fc.constantFrom(...Object.values(mediaTypes), null, 5),
        config: fc.oneof(fc.constant(config), fc.jsonValue()),
        layers: fc.oneof(fc.constant([config]), fc.jsonValue()),
        manifests: fc.oneof(fc.constant([config]), fc.jsonValue()),
        subject: fc.oneof(fc.constant(config), fc.jsonValue()),
        annotations: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc.json().map((text) => Buffer.from(text)),
      nearly.map((value) => Buffer.from(JSON.stringify(value))),
    )
    fc.assert(
      fc.property(
        bytes,
        fc.option(fc.constantFrom(...Object.values(mediaTypes), 'text/html; a=b'), { nil: undefined }),
        (body, type) => {
          const parsed = refusalOf(() => parseManifest(body, type))
          if (parsed instanceof RegistryError) expect(parsed.body.errors[0]?.code).toBe('MANIFEST_INVALID')
          else
            for (const blob of [...parsed.blobs, ...parsed.manifests])
              expect(blob.digest).toMatch(/^sha(256|512):[0-9a-f]+$/)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('nested without end are refused', () => {
    const deep = `{"schemaVersion":2,"config":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
    expect(refusalOf(() => parseManifest(Buffer.from(deep), undefined))).toBeInstanceOf(RegistryError)
  })
})

describe('scopes, tokens and uploads', () => {
  it('parse back to what was written, and grant no more than was asked', async () => {
    const actions = fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete'), { minLength: 1 })
    const scope = fc.record({ type: fc.constant('repository'), name: repository, actions })
    await fc.assert(
      fc.asyncProperty(
        fc.array(scope, { maxLength: 5 }),
        fc.constantFrom('admin', 'user', 'cluster-x'),
        async (scopes, name) => {
          expect(parseScopes([scopes.map(scopeText).join(' ')])).toEqual(scopes)
          const user = testUser(name)
          const granted = user === null ? [] : await grant(user, scopes)
          for (const { name: of, actions: given } of granted) {
            expect(
              scopes.some(
                (wanted) =>
                  wanted.name === of && given.every((action) => (wanted.actions as string[]).includes(action)),
              ),
            ).toBe(true)
            if (name !== 'admin') expect(given).toEqual(['pull'])
          }
        },
      ),
    )
  })

  it('survive any text', () => {
    const issuer = createTokenIssuer({ key: 'secret', service: 'here' })
    const sessions = createUploadSessions({ key: 'secret' })
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), repository, (text, name) => {
        parseScopes([text])
        expect(issuer.verify(text, 0)).toBe('foreign')
        expect(refusalOf(() => sessions.unseal(name, text))).toBeInstanceOf(RegistryError)
      }),
    )
  })

  it('are bound to service, repository and secret', () => {
    const issuer = createTokenIssuer({ key: 'secret', service: 'here' })
    const actor = { type: 'user', id: 'a', name: 'a' } as const
    const token = issuer.issue({ actor, access: [], now: 1000, expiresAt: 5000 })
    expect(issuer.verify(token, 4999)).toMatchObject({ aud: 'here', sub: 'a', iat: 1, exp: 5 })
    expect(issuer.verify(token, 5000)).toBe('expired')
    expect(createTokenIssuer({ key: 'secret', service: 'there' }).verify(token, 0)).toBe('foreign')
    expect(createTokenIssuer({ key: 'other', service: 'here' }).verify(token, 0)).toBe('foreign')
    const sealed = createUploadSessions({ key: 'secret' }).seal('a', 'id')
    expect(createUploadSessions({ key: 'secret' }).unseal('a', sealed)).toBe('id')
    expect(() => createUploadSessions({ key: 'other' }).unseal('a', sealed)).toThrow()
    expect(() => createUploadSessions({ key: 'secret' }).unseal('b', sealed)).toThrow()
  })
})

it('pages of names put together are the names that are listed, whatever lies between them', async () => {
  const names = fc
    .uniqueArray(tag)
    .chain((all) => fc.tuple(fc.constant(all.toSorted()), fc.uniqueArray(fc.nat(Math.max(0, all.length - 1)))))
  await fc.assert(
    fc.asyncProperty(names, fc.integer({ min: 1, max: 5 }), async ([sorted, hidden], size) => {
      const rows = sorted.map((name, index) => ({ name, isListed: !hidden.includes(index) }))
      const listed = rows.filter(({ isListed }) => isListed).map(({ name }) => name)
      const read: ReadNames = async (after, limit) => rows.filter(({ name }) => name > after).slice(0, limit)
      const seen: string[] = []
      let last: string | null = ''
      while (last !== null) {
        const { page, next }: { page: string[]; next: string | null } = await pageOfNames(read, { last, size })
        expect(page.length).toBe(Math.min(size, listed.length - seen.length))
        seen.push(...page)
        last = next
      }
      expect(seen).toEqual(listed)
    }),
  )
  expect(await pageOfNames(async () => [{ name: 'a', isListed: true }], { last: '', size: 0 })).toEqual({
    page: [],
    next: null,
  })
})

it('pages of names end where too many lie between, and the next goes on from there', async () => {
  const rows = Array.from({ length: 50_000 }, (_, index) => ({
    name: String(index).padStart(6, '0'),
    isListed: index === 0 || index === 49_999,
  }))
  let reads = 0
  const read: ReadNames = async (after, limit) => {
    reads += 1
    const from = after === '' ? 0 : Number(after) + 1
    return rows.slice(from, from + limit)
  }
  const first = await pageOfNames(read, { last: '', size: 1000 })
  expect([first.page, reads]).toEqual([['000000'], 41])
  const seen = [...first.page]
  for (let next = first.next; next !== null; ) {
    const more = await pageOfNames(read, { last: next, size: 1000 })
    seen.push(...more.page)
    next = more.next
  }
  expect(seen).toEqual(['000000', '049999'])
})
