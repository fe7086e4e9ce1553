import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pushIndexOf, pushReferrer, pushSmallImage } from '../../../test/system/lab/push.ts'
import { admin, commandsOf, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

const { freehold, json, signIn } = commandsOf(() => directory)
const target = (repository: string) => ({ url: server.url, ...admin, repository })
const signatureType = 'application/vnd.dev.cosign.artifact.sig.v1+json'

test('what was pushed is listed with its tags, platforms and signatures, and looked into', async () => {
  const [amd, arm] = [
    await pushSmallImage(target('team/app'), {
      layers: ['one'],
      config: { Entrypoint: ['/app'], Env: ['TOKEN=x1y2'] },
    }),
    await pushSmallImage(target('team/app'), { layers: ['two'], architecture: 'arm64' }),
  ]
  const index = await pushIndexOf(target('team/app'), '1.0', [amd, arm])
  await pushSmallImage(target('team/app'), { tag: 'plain', layers: ['one'] })
  await pushReferrer(target('team/app'), index, signatureType)

  expect((await freehold(['images', 'overview'])).stdout).toMatch(/^NAME.*\nteam\/app\s+here\s+2\s/)
  const { stdout } = await freehold(['images', 'tags', 'team/app'])
  expect(stdout).toMatch(
    /^TAG\s+DIGEST\s+PLATFORMS.*\nplain\s.*linux\/amd64.*\n1\.0\s.*linux\/amd64, linux\/arm64.*yes/,
  )
  expect(await json<object[]>(['images', 'tags', 'team/app', '--search', '1.0'])).toMatchObject([
    { tag: '1.0', digest: index.digest, pushedBy: 'admin', attachments: { signatures: 1 } },
  ])
  expect(await json<object[]>(['images', 'tags', 'team/app', '--limit', '1'])).toHaveLength(1)
  expect(await json<object[]>(['images', 'manifests', 'team/app'])).toHaveLength(5)

  const shown = await freehold(['images', 'inspect', 'team/app:1.0'])
  expect(shown).toMatchObject({ code: 0, stderr: '' })
  for (const part of [index.digest, amd.digest, 'linux/arm64', 'Referrers', 'signature']) {
    expect(shown.stdout).toContain(part)
  }
  const below = await freehold(['images', 'inspect', `team/app@${amd.digest}`])
  expect(below.stdout).toContain('Entrypoint:  /app')
  expect(below.stdout).toContain('TOKEN')
  expect(below.stdout).not.toContain('x1y2')
  expect(await json(['images', 'inspect', `team/app@${amd.digest}`])).toMatchObject({ digest: amd.digest })
  expect(await freehold(['images', 'inspect', 'team/app:none'])).toMatchObject({ code: 4, stdout: '' })
  expect(await freehold(['images', 'inspect', 'team/app@sha256:abc'])).toMatchObject({ code: 2, stdout: '' })

  const { stdout: audit } = await freehold(['audit', '--kind', 'tag'])
  expect(audit).toContain(`pushed team/app:1.0 (${index.digest.slice(0, 19)})`)
})

test('a delete shows beforehand what goes, and takes all of it or nothing', async () => {
  const image = await pushSmallImage(target('team/old'), { tag: 'v1', layers: ['old'] })
  const signature = await pushReferrer(target('team/old'), image, signatureType)
  await pushSmallImage(target('team/old'), { tag: 'v2', layers: ['new'] })
  const dry = await freehold(['images', 'delete-tag', 'team/old:v1', '--dry-run'])
  expect(dry).toMatchObject({ code: 0, stderr: '' })
  for (const part of ['team/old:v1', image.digest, signature.digest, 'no tag names it then', 'Garbage collection']) {
    expect(dry.stdout).toContain(part)
  }
  expect(await json(['images', 'delete-tag', 'team/old:v1', '--dry-run'])).toMatchObject({
    deleted: false,
    manifests: [{ because: 'untagged' }, { because: 'referrer' }],
  })
  expect(await freehold(['images', 'delete-tag', 'team/old:v1', 'team/old:v9', '--yes'])).toMatchObject({ code: 4 })
  expect(await freehold(['images', 'delete-tag', 'team/old:v9', '--dry-run'])).toMatchObject({ code: 5 })
  expect(await json<object[]>(['images', 'tags', 'team/old'])).toHaveLength(2)

  const done = await freehold(['images', 'delete-tag', 'team/old:v1', '--yes'])
  expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('Deleted tag team/old:v1.\n') })
  expect(await json<object[]>(['images', 'tags', 'team/old'])).toMatchObject([{ tag: 'v2' }])
  expect(await json<object[]>(['images', 'manifests', 'team/old'])).toHaveLength(1)
})

test('manifests go by digest, alone where that is asked for; wrong references are refused', async () => {
  const image = await pushSmallImage(target('team/one'), { tag: 'v1', layers: ['one'] })
  const signature = await pushReferrer(target('team/one'), image, signatureType)
  const done = await json(['images', 'delete-manifest', `team/one@${image.digest}`, '--yes', '--only'])
  expect(done).toMatchObject({ deleted: true, tags: [{ tag: 'v1' }], leftBehind: [{ digest: signature.digest }] })
  expect(await freehold(['images', 'delete-manifest', 'team/one:v1', '--yes'])).toMatchObject({ code: 2 })
  expect(await freehold(['images', 'delete-tag', 'team/one', '--yes'])).toMatchObject({ code: 2 })
  expect(await freehold(['images', 'delete-tag', 'team/one:a', 'team/two:a', '--yes'])).toMatchObject({ code: 2 })
})
