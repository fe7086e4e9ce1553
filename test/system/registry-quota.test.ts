import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  ociManifest,
  password,
  pushBlob,
  putManifest,
  startTestRegistry,
  type TestRegistry,
} from '../../packages/server/src/registry/testing.ts'
import { changeImage, usage } from '../../packages/server/src/registry/usage.testing.ts'

/** A push over quota as a real client meets it: refused with the reason, and nothing of it stays. */
const run = promisify(execFile)
const layerBytes = 3 * 1024 * 1024
let registry: TestRegistry
let directory: string

beforeAll(async () => {
  registry = await startTestRegistry()
  directory = await mkdtemp(join(tmpdir(), 'registry-quota-'))
  await writeFile(join(directory, 'auth.json'), '{}')
  for (const repository of ['source/app', 'limited/app']) {
    const config = await pushBlob(registry, repository, '{"os":"linux"}', 'application/vnd.oci.image.config.v1+json')
    const content = repository === 'source/app' ? randomBytes(layerBytes) : 'small'
    const layers = [await pushBlob(registry, repository, content, 'application/vnd.oci.image.layer.v1.tar+gzip')]
    await putManifest(
      registry,
      repository,
      'v1',
      JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers }),
    )
  }
})
afterAll(async () => {
  await registry.remove()
  await rm(directory, { recursive: true, force: true })
})

function skopeo(...args: string[]) {
  const env = {
    ...process.env,
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    REGISTRY_AUTH_FILE: join(directory, 'auth.json'),
  }
  return run('skopeo', args, { env, timeout: 120_000 })
}
const credentials = `admin:${password}`
const layout = () => `oci:${join(directory, 'layout')}:v1`
const push = () =>
  skopeo(
    'copy',
    '--dest-tls-verify=false',
    '--dest-creds',
    credentials,
    layout(),
    `docker://${registry.host}/limited/app:v2`,
  )

it('skopeo is told of the quota, and pushes once it is raised', async () => {
  await skopeo(
    ...['copy', '--src-tls-verify=false', '--src-creds', credentials],
    ...[`docker://${registry.host}/source/app:v1`, layout()],
  )
  await changeImage(registry.store, 'limited/app', { quotaBytes: 1024 * 1024 })
  await expect(push()).rejects.toMatchObject({ stderr: expect.stringContaining('would pass its quota: it holds') })
  const { kept } = await usage(registry.store)
  expect(kept['limited/app']).toBeLessThan(1024 * 1024)

  await changeImage(registry.store, 'limited/app', { quotaBytes: 2 * layerBytes })
  await push()
  await push()
  expect((await usage(registry.store)).kept['limited/app']).toBeGreaterThan(layerBytes)
})
