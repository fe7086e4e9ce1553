import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { password, startTestRegistry, type TestRegistry } from '../../packages/server/src/registry/testing.ts'

/**
 * The registry as real clients use it: what skopeo, podman and buildah push comes back bit for bit, by token
 * authentication over plain HTTP on the loopback. Docker needs a daemon and has stories of its own.
 */
const run = promisify(execFile)
let registry: TestRegistry
let directory: string
let image: { layout: string; digest: string }

beforeAll(async () => {
  registry = await startTestRegistry()
  directory = await mkdtemp(join(tmpdir(), 'registry-clients-'))
  image = await writeLayout(join(directory, 'layout'))
})
afterAll(async () => {
  await registry.remove()
  await rm(directory, { recursive: true, force: true })
})

/** Signs in without touching the user's own credentials, and keeps a client from hanging for ever. */
function client(command: string, args: string[]) {
  const env = {
    ...process.env,
    REGISTRY_AUTH_FILE: join(directory, `auth-${command}.json`),
    XDG_RUNTIME_DIR: directory,
  }
  return run(command, args, { env, timeout: 120_000, maxBuffer: 16 * 1024 * 1024 })
}

const credentials = `admin:${password}`
const remote = (name: string) => `docker://${registry.host}/${name}`
const skopeo = (...args: string[]) => client('skopeo', args)
const push = (name: string, ...args: string[]) =>
  skopeo(
    'copy',
    '--dest-tls-verify=false',
    '--dest-creds',
    credentials,
    ...args,
    `oci:${image.layout}:latest`,
    remote(name),
  )

async function digestOfTag(name: string): Promise<string | null> {
  const [repository, tag] = name.split(':')
  return (await registry.send('HEAD', `/v2/${repository}/manifests/${tag}`)).headers.get('docker-content-digest')
}

describe('skopeo', () => {
  it('pushes and pulls an OCI image back bit for bit', async () => {
    await push('clients/skopeo:v1')
    expect(await digestOfTag('clients/skopeo:v1')).toBe(image.digest)
    const back = join(directory, 'back')
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      '--src-creds',
      credentials,
      remote('clients/skopeo:v1'),
      `oci:${back}:latest`,
    )
    const index = JSON.parse(await readFile(join(back, 'index.json'), 'utf8'))
    expect(index.manifests[0].digest).toBe(image.digest)
  })

  it('pushes Docker schema 2, inspects, lists tags, copies within the registry and deletes', async () => {
    await push('clients/schema2:v2', '--format', 'v2s2')
    const access = ['--tls-verify=false', '--creds', credentials]
    const raw = await skopeo('inspect', '--raw', ...access, remote('clients/schema2:v2'))
    expect(JSON.parse(raw.stdout).mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
    const inspected = JSON.parse((await skopeo('inspect', ...access, remote('clients/schema2:v2'))).stdout)
    expect(inspected).toMatchObject({ Architecture: 'amd64', Os: 'linux', RepoTags: ['v2'] })
    await skopeo(
      ...['copy', '--src-tls-verify=false', '--dest-tls-verify=false'],
      ...['--src-creds', credentials, '--dest-creds', credentials],
      ...[remote('clients/schema2:v2'), remote('clients/copied:v2')],
    )
    expect(await digestOfTag('clients/copied:v2')).toBe(await digestOfTag('clients/schema2:v2'))
    const tags = JSON.parse((await skopeo('list-tags', ...access, remote('clients/schema2'))).stdout)
    expect(tags.Tags).toEqual(['v2'])
    await skopeo('delete', ...access, remote('clients/schema2:v2'))
    expect(await digestOfTag('clients/schema2:v2')).toBeNull()
  })

  it('is told why, where the password is wrong or the user may not push', async () => {
    const wrong = skopeo(
      ...['copy', '--dest-tls-verify=false', '--dest-creds', 'admin:wrong'],
      ...[`oci:${image.layout}:latest`, remote('clients/refused:v1')],
    )
    await expect(wrong).rejects.toMatchObject({ stderr: expect.stringMatching(/unauthorized|invalid username/i) })
    const reader = skopeo(
      ...['copy', '--dest-tls-verify=false', '--dest-creds', `user:${password}`],
      ...[`oci:${image.layout}:latest`, remote('clients/refused:v1')],
    )
    await expect(reader).rejects.toMatchObject({ stderr: expect.stringMatching(/unauthorized|denied/i) })
    expect(await digestOfTag('clients/refused:v1')).toBeNull()
  })

  it('pulls as an agent what its cluster runs and nothing else', async () => {
    await push('team/app:v1')
    const pull = (name: string) =>
      skopeo('inspect', '--raw', '--tls-verify=false', '--creds', `cluster-team:${password}`, remote(name))
    expect(JSON.parse((await pull('team/app:v1')).stdout).schemaVersion).toBe(2)
    await push('other/app:v1')
    await expect(pull('other/app:v1')).rejects.toMatchObject({ stderr: expect.stringMatching(/unauthorized|denied/i) })
  })
})

describe.each(['podman', 'buildah'])('%s', (command) => {
  const storage = () => [
    ...['--root', join(directory, command, 'root'), '--runroot', join(directory, command, 'run')],
    ...['--storage-driver', 'vfs'],
  ]
  const call = (...args: string[]) => client(command, [...storage(), ...args])

  it('signs in, pulls, pushes under another name, and pulls that by digest', async () => {
    await push(`clients/${command}:v1`)
    const name = `${registry.host}/clients/${command}`
    await call('login', '--tls-verify=false', '--username', 'admin', '--password', password, registry.host)
    await call('pull', '--tls-verify=false', `${name}:v1`)
    await call('push', '--tls-verify=false', `${name}:v1`, `docker://${name}-again:v2`)
    const digest = await digestOfTag(`clients/${command}-again:v2`)
    expect(digest).toMatch(/^sha256:/)
    await call('pull', '--tls-verify=false', `${name}-again@${digest}`)
    await call('rmi', '--all', '--force')
  })
})

describe('buildah', () => {
  it('pushes an image it made, and a manifest list of it', async () => {
    const storage = [
      ...['--root', join(directory, 'made', 'root'), '--runroot', join(directory, 'made', 'run')],
      ...['--storage-driver', 'vfs'],
    ]
    const buildah = (...args: string[]) => client('buildah', [...storage, ...args])
    const file = join(directory, 'hello')
    await writeFile(file, 'hello')
    const container = (await buildah('from', 'scratch')).stdout.trim()
    await buildah('copy', container, file, '/hello')
    await buildah('commit', container, 'made')
    const access = ['--tls-verify=false', '--creds', credentials]
    await buildah('push', ...access, 'made', remote('clients/made:v1'))
    expect(await digestOfTag('clients/made:v1')).toMatch(/^sha256:/)
    await buildah('manifest', 'create', 'list', 'made')
    await buildah('manifest', 'push', '--all', ...access, 'list', remote('clients/made:list'))
    const list = await registry.send('GET', '/v2/clients/made/manifests/list')
    expect(list.headers.get('content-type')).toMatch(/index|list/)
    expect(((await list.json()) as { manifests: unknown[] }).manifests).toHaveLength(1)
    await buildah('rm', container)
  })
})

/** Writes an image of one layer with one file as an OCI layout (OCI Image 1.1, "Image Layout"). */
async function writeLayout(layout: string): Promise<{ layout: string; digest: string }> {
  await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true })
  const add = async (content: Buffer, mediaType: string) => {
    const hex = createHash('sha256').update(content).digest('hex')
    await writeFile(join(layout, 'blobs', 'sha256', hex), content)
    return { mediaType, digest: `sha256:${hex}`, size: content.length }
  }
  const tar = tarOf('greeting', Buffer.from('hello from the registry tests\n'))
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  const configuration = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: '2030-01-01T00:00:00Z', created_by: 'test' }],
  }
  const config = await add(Buffer.from(JSON.stringify(configuration)), 'application/vnd.oci.image.config.v1+json')
  const layer = await add(gzipSync(tar), 'application/vnd.oci.image.layer.v1.tar+gzip')
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer] })
  const manifest = await add(Buffer.from(body), mediaType)
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' }
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] }
  await writeFile(join(layout, 'index.json'), JSON.stringify(index))
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  return { layout, digest: manifest.digest }
}

/** A tar archive of one file (POSIX.1-1988 ustar). */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512)
  const put = (text: string, offset: number) => header.write(text, offset, 'ascii')
  put(name, 0)
  put('0000644\0', 100)
  put('0000000\0', 108)
  put('0000000\0', 116)
  put(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
  put('00000000000\0', 136)
  put('        ', 148)
  put('0', 156)
  put('ustar\0', 257)
  put('00', 263)
  const sum = header.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)])
}
