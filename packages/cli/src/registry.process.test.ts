import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { admin, type CliResource, commandsOf, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
  for (const tag of ['v1', 'v2', 'v3']) await push('team/app', tag)
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

const { freehold, json, signIn } = commandsOf(() => directory)

/** Pushes a small image as a client does. */
async function push(repository: string, tag: string): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${admin.username}:${admin.password}`).toString('base64')}`
  const put = async (path: string, body: string, mediaType: string) => {
    const method = path.includes('/uploads/') ? 'POST' : 'PUT'
    const response = await fetch(`${server.url}/v2/${repository}/${path}`, {
      method,
      body,
      headers: { authorization, 'content-type': mediaType },
    })
    if (response.status !== 201) throw new Error(await response.text())
  }
  const blob = async (text: string, mediaType: string) => {
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
    await put(`blobs/uploads/?digest=${digest}`, text, 'application/octet-stream')
    return { mediaType, digest, size: Buffer.byteLength(text) }
  }
  const config = await blob('{"os":"linux","architecture":"amd64"}', 'application/vnd.oci.image.config.v1+json')
  const layer = await blob(`layer of ${tag}`, 'application/vnd.oci.image.layer.v1.tar')
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] })
  await put(`manifests/${tag}`, manifest, mediaType)
}

describe('retention of an image', () => {
  test('says that everything stays where there are no rules, and how to try some', async () => {
    const said = await freehold(['images', 'retention', 'team/app', '--dry-run'])
    expect(said).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('everything stays') })
  })

  test('is tried before it is saved, saved, and carried out', async () => {
    const tried = await freehold(['images', 'retention', 'team/app', '--keep-last', '2', '--keep-tags', 'x*'])
    expect(tried.stdout).toMatch(
      /^WOULD\s+WHAT.*\nremove\s+v1\s+sha256:\S+\s+\S+\s+no rule keeps it \(the last 2, x\*\)/,
    )
    expect(tried.stderr).toContain('Would remove 1 tags and 0 manifests')
    expect(await json(['images', 'get', 'team/app'])).not.toMatchObject({ data: { retention: expect.anything() } })

    await json(['images', 'update', 'team/app', '--keep-last', '2', '--untagged-days', '5'])
    expect(await json(['images', 'update', 'team/app', '--keep-last', '1'])).toMatchObject({
      data: { retention: { keepLastTags: 1 } },
    })
    const report = await json(['images', 'retention', 'team/app'])
    expect(report).toMatchObject({ source: 'image', tags: { keep: 1, delete: 2 }, retention: { keepLastTags: 1 } })
    const done = await freehold(['images', 'retention', 'team/app', '--apply'])
    expect(done.stderr).toContain('Removed 2 tags and 0 manifests')
    const image = await json<CliResource>(['images', 'get', 'team/app'])
    expect(image.status.versions).toMatchObject([{ versionString: 'v3' }])
    const audit = await freehold(['audit', '--kind', 'tag', '--limit', '1'])
    expect(audit.stdout).toContain('registry retention: keeps the last 1')

    const both = ['images', 'update', 'team/app', '--keep-all', '--keep-last', '2']
    expect(await freehold(both)).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be used with') })
    expect(await json(['images', 'update', 'team/app', '--keep-all'])).toMatchObject({ data: { retention: {} } })
    const forgotten = await json<CliResource>(['images', 'update', 'team/app', '--default-retention'])
    expect(forgotten.data).not.toHaveProperty('retention')
  })

  test('is not carried out by rules that are not saved', async () => {
    expect(await freehold(['images', 'retention', 'team/app', '--apply', '--keep-last', '1'])).toMatchObject({
      code: 2,
    })
  })
})

describe('the registry', () => {
  test('says what it holds, and each image what it holds of that', async () => {
    const storage = await json<{ usedBytes: number }>(['registry', 'storage'])
    const [image] = await json<CliResource[]>(['images', 'list', '--search', 'team/app'])
    expect(storage).toMatchObject({ usedBytes: image?.status.usedBytes, quotaBytes: null })
    expect(storage.usedBytes).toBeGreaterThan(0)
    expect((await freehold(['registry', 'storage'])).stdout).toMatch(/^Used\s+\S+ \S+ \(no quota\)/)
  })

  test('shows what garbage collection would take, and collects when asked to', async () => {
    expect(await json(['registry', 'garbage', '--dry-run'])).toMatchObject({ complete: true, due: { blobs: 0 } })
    const before = await json<{ passes: number }>(['registry', 'garbage'])
    const after = await json<{ passes: number; last: unknown }>(['registry', 'garbage', '--run'])
    expect(after.passes).toBeGreaterThan(before.passes)
    expect(after.last).toMatchObject({ complete: true, failures: 0 })
    expect((await freehold(['registry', 'garbage'])).stdout).toMatch(/pass is under way.*\nThe last ended/)
  })

  test('takes a quota and anonymous pull by flag', async () => {
    expect(await json(['images', 'update', 'team/app', '--quota-bytes', '1000', '--anonymous-pull'])).toMatchObject({
      data: { quotaBytes: 1000, anonymousPull: true },
    })
    await push('team/app', 'v3')
    expect((await fetch(`${server.url}/v2/token?scope=repository:team/app:pull`)).status).toBe(200)
    await expect(push('team/app', 'x'.repeat(100))).rejects.toThrow('would pass its quota')
  })
})
