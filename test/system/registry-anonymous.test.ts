import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { imageKind } from '@freehold/contracts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  ociManifest,
  pushBlob,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
} from '../../packages/server/src/registry/testing.ts'
import { changeImage } from '../../packages/server/src/registry/usage.testing.ts'

/** A public repository as somebody without an account pulls from it, with clients that know nothing of ours. */
const run = promisify(execFile)
let registry: TestRegistry
let directory: string

beforeAll(async () => {
  registry = await startTestRegistry()
  directory = await mkdtemp(join(tmpdir(), 'registry-anonymous-'))
  await writeFile(join(directory, 'no-credentials.json'), '{}')
  for (const name of ['open/app', 'closed/app']) await pushEmptyImage(name)
  await changeImage(registry.store, 'open/app', { anonymousPull: true })
})
afterAll(async () => {
  await registry.remove()
  await rm(directory, { recursive: true, force: true })
})

/** An image that clients can unpack: one layer, an archive without files. */
async function pushEmptyImage(repository: string): Promise<void> {
  const archive = Buffer.alloc(1024)
  const configuration = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [sha256(archive)] } }
  const text = JSON.stringify({ ...configuration, config: { Labels: { repository } } })
  const config = await pushBlob(registry, repository, text, 'application/vnd.oci.image.config.v1+json')
  const layers = [
    await pushBlob(registry, repository, gzipSync(archive), 'application/vnd.oci.image.layer.v1.tar+gzip'),
  ]
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })
  if ((await putManifest(registry, repository, 'v1', manifest)).status !== 201) throw new Error('The push failed.')
}

/** With a home of its own, so that no credentials of the machine come along. */
function client(command: string, ...args: string[]) {
  const env = {
    ...process.env,
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    REGISTRY_AUTH_FILE: join(directory, 'no-credentials.json'),
  }
  return run(command, args, { env, timeout: 120_000, maxBuffer: 16 * 1024 * 1024 })
}
const remote = (name: string) => `docker://${registry.host}/${name}`
const refusal = { stderr: expect.stringMatching(/unauthorized|denied|authentication required|sign in/i) }

it('skopeo pulls it, bit for bit, and lists its tags', async () => {
  const layout = join(directory, 'layout')
  await client('skopeo', 'copy', '--src-tls-verify=false', remote('open/app:v1'), `oci:${layout}:v1`)
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'))
  const image = await registry.store.find(imageKind, 'name', 'open/app')
  expect(index.manifests[0].digest).toBe(image?.status.versions[0]?.digest)
  const { stdout } = await client('skopeo', 'list-tags', '--tls-verify=false', remote('open/app'))
  expect(JSON.parse(stdout).Tags).toEqual(['v1'])
})

it('skopeo is refused what is private and what is not there alike, and may not push', async () => {
  for (const name of ['closed/app:v1', 'missing/app:v1']) {
    await expect(client('skopeo', 'inspect', '--raw', '--tls-verify=false', remote(name))).rejects.toMatchObject(
      refusal,
    )
  }
  const push = client(
    'skopeo',
    ...['copy', '--dest-tls-verify=false', `oci:${join(directory, 'layout')}:v1`, remote('open/app:mine')],
  )
  await expect(push).rejects.toMatchObject(refusal)
  expect((await registry.send('HEAD', '/v2/open/app/manifests/mine')).status).toBe(404)
})

it('podman pulls it and is refused the private one', async () => {
  const podman = (...args: string[]) =>
    client(
      'podman',
      ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--storage-driver', 'vfs'],
      ...args,
    )
  await podman('pull', '--tls-verify=false', `${registry.host}/open/app:v1`)
  const { stdout } = await podman('image', 'inspect', `${registry.host}/open/app:v1`)
  expect(JSON.parse(stdout)[0].Labels).toEqual({ repository: 'open/app' })
  const pull = podman('pull', '--tls-verify=false', `${registry.host}/closed/app:v1`)
  await expect(pull).rejects.toMatchObject(refusal)
  await podman('rmi', '--all', '--force')
})
