import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { manifestLimitBytes } from './manifest.ts'
import { basic, ociManifest, pushImage, pushParts, sha256, startTestRegistry, type TestRegistry } from './testing.ts'

/**
 * Whatever comes in at /v2, raw: every answer is one of the specification (OCI Distribution 1.1, "Error Codes"), no
 * request is a failure of the registry's own, and nothing of a refused one stays: no file, no descriptor, no memory.
 */
let registry: TestRegistry
/** The same, but it waits for clients on a busy machine as long as they need. */
let patient: TestRegistry
let layer: string
beforeAll(async () => {
  patient = await startTestRegistry()
  const { manifest } = await pushImage(patient, 'hostile/image', 'v1', 'a layer')
  layer = JSON.parse(manifest).layers[0].digest
  // Pushed to before it becomes impatient: on a busy machine it might let go of these pushes too.
  const before = await startTestRegistry()
  await pushImage(before, 'hostile/image', 'v1', 'a layer')
  await before.stop()
  registry = await startTestRegistry({ directory: before.directory, idleTimeoutMs: 150 })
})
afterAll(async () => {
  await registry.remove()
  await patient.remove()
})

const codes = [
  ...['BLOB_UNKNOWN', 'BLOB_UPLOAD_INVALID', 'BLOB_UPLOAD_UNKNOWN', 'DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN'],
  ...['MANIFEST_INVALID', 'MANIFEST_UNKNOWN', 'NAME_INVALID', 'NAME_UNKNOWN', 'SIZE_INVALID', 'UNAUTHORIZED'],
  ...['DENIED', 'UNSUPPORTED', 'TOOMANYREQUESTS'],
]

interface RawAnswer {
  status: number | null
  contentType: string
  body: string
}

/**
 * Sends bytes as they are and reads until the connection ends, or nothing has come for `patienceMs`; a null status: it
 * ended without an answer.
 */
function sendRaw(bytes: Buffer, { to = registry, patienceMs = 1000 } = {}): Promise<RawAnswer> {
  const [host = '', port] = to.host.split(':')
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(Number(port), host)
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('latin1')
      const [head = '', ...rest] = text.split('\r\n\r\n')
      const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]
      const contentType = /^content-type: (.*)$/im.exec(head)?.[1]?.trim() ?? ''
      resolve({ status: status === undefined ? null : Number(status), contentType, body: rest.join('\r\n\r\n') })
    })
    socket.setTimeout(patienceMs, () => socket.destroy())
    socket.write(bytes)
  })
}

const descriptors = async () => (await readdir('/proc/self/fd')).length
/** Bytes in buffers that something still refers to. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().arrayBuffers
}
const uploads = (of = registry) => readdir(join(of.directory, 'blobs', 'uploads'))

const piece = fc.oneof(
  fc.constantFrom(
    ...['v2', 'blobs', 'uploads', 'manifests', 'tags', 'list', 'referrers', '_catalog', 'token', 'hostile', 'image'],
    ...['v1', '..', '.', '', '%2e%2e', '%2F', '%', '%00', '%ff', 'A', 'sha256:x', `sha256:${'0'.repeat(64)}`],
  ),
  fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encodeURIComponent(text.toWellFormed())),
)
const target = fc
  .record({
    base: fc.constantFrom(
      '/v2/',
      '/v2/hostile/image/',
      '/v2/hostile/image/blobs/uploads/',
      '/v2/hostile/image/manifests/',
    ),
    pieces: fc.array(piece, { maxLength: 4 }),
    query: fc.constantFrom(
      ...['', '?', '?n=-1', '?n=1e9', '?n=99999999999', '?last=%ff', '?digest=sha256:x', `?digest=${sha256('y')}`],
      ...[
        '?mount=x',
        `?mount=${sha256('y')}&from=..`,
        '?digest-algorithm=md5',
        '?cursor=x',
        '?artifactType=%00',
        '?tag=.',
      ],
    ),
  })
  .map(({ base, pieces, query }) => `${base}${pieces.join('/')}${query}`)
const header = fc.oneof(
  fc.constantFrom(
    ...['Range: bytes=0-', 'Range: bytes=9999-', 'Range: bytes=-0', 'Range: bytes=1-0,5-', 'Range: x', 'If-Range: "x"'],
    ...['Content-Range: 0-0', 'Content-Range: 5-1', 'Content-Range: bytes 0-1/2', 'Content-Range: 0-99999999999999999'],
    ...['If-None-Match: *', 'If-None-Match: "', 'Content-Type: text/html', `Content-Type: ${ociManifest}; a="`],
    ...[
      'Expect: 100-continue',
      'Content-Type: application/vnd.docker.distribution.manifest.v1+json',
      'X-Forwarded-For: x',
    ],
  ),
  fc.stringMatching(/^[A-Za-z-]{1,12}: [ -~]{0,60}$/),
)
const authorization = fc.constantFrom(
  basic('admin'),
  basic('admin'),
  basic('admin'),
  basic('user'),
  'Bearer x',
  'Basic !',
  '',
)
const manifestLike = fc
  .record(
    { schemaVersion: fc.constantFrom(1, 2), config: fc.jsonValue(), layers: fc.jsonValue() },
    { requiredKeys: [] },
  )
  .map((value) => Buffer.from(JSON.stringify(value)))
const body = fc.oneof(fc.constant(Buffer.alloc(0)), fc.uint8Array({ maxLength: 300 }).map(Buffer.from), manifestLike)
const request = fc
  .record({
    method: fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND'),
    target,
    headers: fc.array(header, { maxLength: 4 }),
    authorization,
    body,
    /** What the length says beyond what comes. */
    lacking: fc.nat(30).map((number) => (number === 0 ? 7 : 0)),
    chunked: fc.boolean(),
  })
  .map((parts) => {
    const length = parts.chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${parts.body.length + parts.lacking}`
    const head = [
      `${parts.method} ${parts.target} HTTP/1.1`,
      'Host: registry',
      'Connection: close',
      ...(parts.authorization === '' ? [] : [`Authorization: ${parts.authorization}`]),
      length,
      ...parts.headers,
    ]
    const chunk =
      parts.body.length === 0
        ? []
        : [Buffer.from(`${parts.body.length.toString(16)}\r\n`), parts.body, Buffer.from('\r\n')]
    const sent = parts.chunked ? [...chunk, Buffer.from(parts.lacking > 0 ? 'zz' : '0\r\n\r\n')] : [parts.body]
    return {
      method: parts.method,
      bytes: Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), ...sent]),
    }
  })

function expectOfTheSpecification({ method }: { method: string }, answer: RawAnswer): void {
  if (answer.status === null) return
  expect(answer.status).toBeLessThan(500)
  if (answer.status < 400 || method === 'HEAD' || !answer.contentType.startsWith('application/json')) return
  const { errors } = JSON.parse(answer.body) as { errors: { code: string; message: string }[] }
  expect(errors.length).toBeGreaterThan(0)
  for (const error of errors) {
    expect(codes).toContain(error.code)
    for (const { directory } of [registry, patient]) expect(error.message).not.toContain(directory)
  }
}

describe('any request', () => {
  it('is answered as the specification says or not at all, and leaves nothing behind', async () => {
    await sendRaw(Buffer.from('GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))
    const before = await descriptors()
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 4, maxLength: 4 }), async (requests) => {
        const answers = await Promise.all(requests.map(({ bytes }) => sendRaw(bytes)))
        for (const [index, answer] of answers.entries())
          expectOfTheSpecification(requests[index] ?? { method: '' }, answer)
      }),
      { numRuns: Number(process.env.FREEHOLD_FUZZ_RUNS ?? 80) },
    )
    expect(registry.errors).toEqual([])
    await expect.poll(() => registry.connections()).toBe(0)
    await expect.poll(descriptors).toBeLessThanOrEqual(before)
    expect((await registry.registry.sweepUploads({ idleMs: -1 })).sizeBytes).toBeLessThan(100_000)
    expect(await uploads()).toEqual([])
  })

  it('mangled in one byte is too', async () => {
    const manifest = await pushParts(patient, 'hostile/mangled', 'layer')
    const whole = (method: string, path: string, content: string, more = '') =>
      Buffer.from(
        `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${basic('admin')}\r\n${more}Content-Length: ${content.length}\r\n\r\n${content}`,
      )
    const good = [
      whole('PUT', '/v2/hostile/mangled/manifests/v1', manifest, `Content-Type: ${ociManifest}\r\n`),
      whole('POST', `/v2/hostile/mangled/blobs/uploads/?digest=${sha256('x')}`, 'x'),
      whole('GET', `/v2/hostile/image/blobs/${layer}`, '', 'Range: bytes=1-2\r\n'),
      whole('GET', '/v2/hostile/image/tags/list?n=1&last=a', ''),
      whole('DELETE', '/v2/hostile/mangled/manifests/none', ''),
    ]
    for (const bytes of good)
      expect((await sendRaw(bytes, { to: patient, patienceMs: 60_000 })).status).toBeLessThan(405)
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...good), fc.nat(5000), fc.nat(255), async (bytes, at, value) => {
        const mangled = Buffer.from(bytes)
        mangled[at % mangled.length] = value
        expectOfTheSpecification({ method: bytes.subarray(0, 4).toString() }, await sendRaw(mangled, { to: patient }))
      }),
      { numRuns: Number(process.env.FREEHOLD_FUZZ_RUNS ?? 200) },
    )
    expect(patient.errors).toEqual([])
    await expect.poll(() => patient.connections()).toBe(0)
    await patient.registry.sweepUploads({ idleMs: -1 })
  })
})

it('chunks in any order add up to what was taken, and to nothing else', async () => {
  const content = randomBytes(4096)
  const chunk = fc.record({ start: fc.nat(40), length: fc.integer({ min: 1, max: 20 }), isNext: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(chunk, { maxLength: 8 }), async (chunks) => {
      const started = await patient.send('POST', '/v2/hostile/chunks/blobs/uploads/')
      const location = started.headers.get('location') ?? ''
      let taken = 0
      for (const { start, length, isNext } of chunks) {
        const from = isNext ? taken : start
        const response = await patient.send('PATCH', location, {
          body: content.subarray(from, from + length),
          headers: { 'content-range': `${from}-${from + length - 1}` },
        })
        await response.arrayBuffer()
        expect(response.status).toBe(from === taken ? 202 : 416)
        if (from === taken) taken += length
        expect(response.headers.get('range')).toBe(`0-${Math.max(0, taken - 1)}`)
      }
      const digest = sha256(content.subarray(0, taken))
      expect((await patient.send('PUT', `${location}?digest=${digest}`)).status).toBe(201)
    }),
    { numRuns: Number(process.env.FREEHOLD_FUZZ_RUNS ?? 40) },
  )
})

it('refusals and broken-off bodies by the hundred keep no file, no descriptor and no memory', async () => {
  const large = randomBytes(512 * 1024)
  const path = '/v2/hostile/leaks'
  const cut = (head: string) =>
    sendRaw(
      Buffer.concat([
        Buffer.from(
          `${head}\r\nHost: x\r\nAuthorization: ${basic('admin')}\r\nContent-Length: ${large.length * 2}\r\n\r\n`,
        ),
        large,
      ]),
      { to: patient, patienceMs: 100 },
    )
  const manifest = await pushParts(patient, 'hostile/elsewhere', 'layer')
  const drop = async (work: Promise<Response>) => {
    const response = await work
    await response.arrayBuffer()
    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(response.status).toBeLessThan(500)
  }
  const cases: (() => Promise<unknown>)[] = [
    () => drop(patient.send('POST', `${path}/blobs/uploads/?digest=${sha256('promised')}`, { body: large })),
    () => drop(patient.send('PATCH', `${path}/blobs/uploads/none`, { body: large })),
    () => drop(patient.send('PUT', `${path}/manifests/v1`, { body: Buffer.alloc(manifestLimitBytes + 1) })),
    () =>
      drop(patient.send('PUT', `${path}/manifests/v1`, { body: manifest, headers: { 'content-type': ociManifest } })),
    () => drop(patient.send('PUT', `${path}/manifests/v1`, { body: large })),
    () => drop(patient.send('POST', `${path}/blobs/uploads/`, { body: large, user: 'user' })),
    () => cut(`POST ${path}/blobs/uploads/?digest=${sha256('promised')} HTTP/1.1`),
    () => cut(`PUT ${path}/manifests/v1 HTTP/1.1`),
  ]
  const round = async () => {
    for (const one of cases) await Promise.all(Array.from({ length: 6 }, one))
  }
  await round()
  patient.closeIdle()
  await expect.poll(() => patient.connections()).toBe(0)
  const before = { descriptors: await descriptors(), bytes: heldBytes() }
  for (let count = 0; count < 4; count += 1) await round()
  patient.closeIdle()
  await expect.poll(() => patient.connections()).toBe(0)
  await expect.poll(() => uploads(patient)).toEqual([])
  await expect.poll(descriptors).toBeLessThanOrEqual(before.descriptors)
  // A leak of each body would be a hundred megabytes.
  await expect.poll(() => heldBytes() - before.bytes).toBeLessThan(16 * 1024 * 1024)
  expect(patient.errors).toEqual([])
})
