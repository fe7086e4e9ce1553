import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { password, startTestRegistry, type TestRegistry } from '../../packages/server/src/registry/testing.ts'
import {
  type Dockerd,
  findPart,
  loadImage,
  requireParts,
  run,
  startDockerd,
  type TemporaryFolder,
  temporaryFolder,
  webImage,
} from './lab/index.ts'
import { createLayout, type Descriptor, layoutTypes } from './registry-layout.testing.ts'

/**
 * Images of several platforms, compressed otherwise, and signed, as real clients push and pull them: docker with an
 * engine of its own, podman, buildah and skopeo, by token over plain HTTP on the loopback.
 */
let registry: TestRegistry
let folder: TemporaryFolder
let index: { path: string; digest: string; children: Descriptor[] }

beforeAll(async () => {
  requireParts(['skopeo', 'podman', 'buildah', 'docker'])
  registry = await startTestRegistry()
  folder = await temporaryFolder('clients')
  const layout = await createLayout(join(folder.path, 'index'))
  const children = [
    await layout.addImage({ os: 'linux', architecture: 'amd64' }, 'for amd64'),
    await layout.addImage({ os: 'linux', architecture: 'arm64' }, 'for arm64'),
  ]
  const root = { schemaVersion: 2, mediaType: layoutTypes.index, manifests: children }
  const { digest } = await layout.add(root, layoutTypes.index)
  await layout.close({ mediaType: layoutTypes.index, digest, size: JSON.stringify(root).length })
  index = { path: layout.path, digest, children }
})
afterAll(async () => {
  await registry?.remove()
  await folder?.remove()
})

const credentials = `admin:${password}`
const remote = (name: string) => `docker://${registry.host}/${name}`
const environment = () => ({ REGISTRY_AUTH_FILE: join(folder.path, 'auth.json'), XDG_RUNTIME_DIR: folder.path })
const call = (...argv: string[]) => run(argv, { env: environment(), timeoutMs: 120_000 })
const storageOf = (name: string) => [
  ...['--root', join(folder.path, name, 'root'), '--runroot', join(folder.path, name, 'run')],
  ...['--storage-driver', 'vfs'],
]
const toRegistry = ['--dest-tls-verify=false', '--dest-creds', credentials]
const fromRegistry = ['--src-tls-verify=false', '--src-creds', credentials]

async function manifestOf(name: string) {
  const [repository, tag] = name.split(':')
  const response = await registry.send('GET', `/v2/${repository}/manifests/${tag}`)
  const body = (await response.json()) as { mediaType?: string; manifests?: Descriptor[]; layers?: Descriptor[] }
  return { ...body, digest: response.headers.get('docker-content-digest'), type: response.headers.get('content-type') }
}

describe('an index of several platforms', () => {
  it('is copied whole by skopeo, from a layout, within the registry, and back, and stays what it is', async () => {
    await call('skopeo', 'copy', '--all', ...toRegistry, `oci:${index.path}:latest`, remote('multi/skopeo:v1'))
    const both = [...fromRegistry, ...toRegistry]
    await call('skopeo', 'copy', '--all', ...both, remote('multi/skopeo:v1'), remote('multi/copied:v1'))
    for (const name of ['multi/skopeo:v1', 'multi/copied:v1'])
      expect((await manifestOf(name)).digest).toBe(index.digest)
    const back = join(folder.path, 'back')
    await call('skopeo', 'copy', '--all', ...fromRegistry, remote('multi/copied:v1'), `oci:${back}:latest`)
    const written = JSON.parse(await readFile(join(back, 'index.json'), 'utf8'))
    expect(written.manifests[0].digest).toBe(index.digest)
    const arm = ['--override-arch', 'arm64']
    const inspected = await call(
      ...['skopeo', ...arm, 'inspect', '--tls-verify=false', '--creds', credentials, remote('multi/skopeo:v1')],
    )
    expect(JSON.parse(inspected)).toMatchObject({ Architecture: 'arm64' })
  })

  it('is made and pushed by podman manifest, as OCI and as Docker list', async () => {
    const podman = (...args: string[]) => call('podman', ...storageOf('podman'), ...args)
    await call('skopeo', 'copy', '--all', ...toRegistry, `oci:${index.path}:latest`, remote('multi/parts:v1'))
    await podman('login', '--tls-verify=false', '--username', 'admin', '--password', password, registry.host)
    await podman('manifest', 'create', 'list')
    for (const { digest } of index.children) {
      await podman('manifest', 'add', '--tls-verify=false', 'list', `${remote('multi/parts')}@${digest}`)
    }
    for (const [format, type] of [
      ['oci', layoutTypes.index],
      ['v2s2', 'application/vnd.docker.distribution.manifest.list.v2+json'],
    ] as const) {
      const name = `multi/podman:${format}`
      await podman('manifest', 'push', '--all', '--tls-verify=false', '--format', format, 'list', remote(name))
      const pushed = await manifestOf(name)
      expect([pushed.type, pushed.manifests?.map(({ platform }) => platform?.architecture).toSorted()]).toEqual([
        type,
        ['amd64', 'arm64'],
      ])
    }
  })
})

it('takes layers that buildah compresses with zstd, and gives them back', async () => {
  const buildah = (...args: string[]) => call('buildah', ...storageOf('zstd'), ...args)
  const access = ['--tls-verify=false', '--creds', credentials]
  await writeFile(join(folder.path, 'hello'), 'hello in zstd')
  const container = (await buildah('from', 'scratch')).trim()
  await buildah('copy', container, join(folder.path, 'hello'), '/hello')
  await buildah('commit', '--quiet', container, 'made')
  await buildah('push', ...access, '--format', 'oci', '--compression-format', 'zstd', 'made', remote('multi/zstd:v1'))
  const { layers } = await manifestOf('multi/zstd:v1')
  expect(layers?.map(({ mediaType }) => mediaType)).toEqual(['application/vnd.oci.image.layer.v1.tar+zstd'])
  await buildah('rm', container)
  await buildah('rmi', '--all', '--force')
  await buildah('pull', ...access, `${registry.host}/multi/zstd:v1`)
})

it("keeps a signature in cosign's layout so that whoever pulls it can verify it", async () => {
  await call('skopeo', 'copy', '--all', ...toRegistry, `oci:${index.path}:latest`, remote('multi/signed:v1'))
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const payload = JSON.stringify({
    critical: {
      identity: { 'docker-reference': `${registry.host}/multi/signed` },
      image: { 'docker-manifest-digest': index.digest },
      type: 'cosign container image signature',
    },
    optional: null,
  })
  const signature = sign('sha256', Buffer.from(payload), privateKey).toString('base64')
  const layout = await createLayout(join(folder.path, 'signature'))
  const layer = await layout.add(payload, 'application/vnd.dev.cosign.simplesigning.v1+json')
  const config = await layout.add(
    { architecture: '', os: '', config: {}, rootfs: { type: 'layers', diff_ids: [layer.digest] } },
    layoutTypes.config,
  )
  const layers = [{ ...layer, annotations: { 'dev.cosignproject.cosign/signature': signature } }]
  const manifest = { schemaVersion: 2, mediaType: layoutTypes.manifest, config, layers }
  await layout.close(await layout.add(manifest, layoutTypes.manifest))
  const tag = `${index.digest.replace(':', '-')}.sig`
  await call('skopeo', 'copy', ...toRegistry, `oci:${layout.path}:latest`, remote(`multi/signed:${tag}`))

  const back = join(folder.path, 'signature-back')
  await call('skopeo', 'copy', ...fromRegistry, remote(`multi/signed:${tag}`), `oci:${back}:latest`)
  const read = async ({ digest }: Descriptor) => readFile(join(back, 'blobs', 'sha256', digest.slice('sha256:'.length)))
  const written = JSON.parse(await readFile(join(back, 'index.json'), 'utf8'))
  const [signed] = JSON.parse(String(await read(written.manifests[0]))).layers as Descriptor[]
  if (signed === undefined) throw new Error('The signature has no layer.')
  const given = Buffer.from(signed.annotations?.['dev.cosignproject.cosign/signature'] ?? '', 'base64')
  const key = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }))
  expect(verify('sha256', await read(signed), key, given)).toBe(true)
  expect(JSON.parse(String(await read(signed))).critical.image['docker-manifest-digest']).toBe(index.digest)
})

describe('docker', () => {
  let dockerd: Dockerd
  const docker = (...args: string[]) =>
    run([findPart('docker') ?? 'docker', '--config', join(folder.path, 'docker'), ...args], {
      env: { DOCKER_HOST: dockerd.dockerHost, DOCKER_CLI_EXPERIMENTAL: 'enabled', HOME: folder.path },
      timeoutMs: 120_000,
      input: password,
    })
  beforeAll(async () => {
    dockerd = await startDockerd()
    await docker('login', '--username', 'admin', '--password-stdin', registry.host)
  })
  afterAll(() => dockerd?.stop())

  it('pushes, removes, pulls by tag and by digest, and pushes again without sending what is there', async () => {
    const name = `${registry.host}/multi/docker:v1`
    await loadImage(dockerd.engine, await webImage({ name: 'web:1', version: 'one' }), { as: name })
    const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(await docker('push', name))?.[1]
    expect((await manifestOf('multi/docker:v1')).digest).toBe(pushed)
    await docker('rmi', name)
    expect(await docker('pull', name)).toContain(pushed)
    expect(await docker('pull', `${registry.host}/multi/docker@${pushed}`)).toContain(pushed)
    expect(await docker('push', name)).toContain('Layer already exists')
  })

  it('sends again a layer that was damaged, though it knows it had been there', async () => {
    const name = `${registry.host}/multi/healed:v1`
    await loadImage(dockerd.engine, await webImage({ name: 'web:2', version: 'two' }), { as: name })
    await docker('push', name)
    const [layer] = (await manifestOf('multi/healed:v1')).layers ?? []
    if (layer === undefined) throw new Error('The image has no layer.')
    await registry.blobs.delete(layer.digest)
    registry.registry.scrub.request()
    await registry.registry.scrub.run(new AbortController().signal)
    expect((await registry.registry.scrub.state()).damagedBlobs).toBe(1)
    expect(await docker('push', name)).not.toContain('Layer already exists')
    expect((await registry.registry.scrub.state()).damagedBlobs).toBe(0)
    await docker('rmi', name)
    await docker('pull', name)
  })

  it('makes and pushes a list with docker manifest', async () => {
    const parts = index.children.map(({ digest }) => `${registry.host}/multi/list@${digest}`)
    await call('skopeo', 'copy', '--all', ...toRegistry, `oci:${index.path}:latest`, remote('multi/list:source'))
    const list = `${registry.host}/multi/list:v1`
    await docker('manifest', 'create', '--insecure', list, ...parts)
    await docker('manifest', 'push', '--insecure', list)
    const pushed = await manifestOf('multi/list:v1')
    expect(pushed.manifests?.map(({ digest }) => digest).toSorted()).toEqual(
      index.children.map(({ digest }) => digest).toSorted(),
    )
    await docker('pull', list)
  })
})
