import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import {
  brokenImage,
  type Dockerd,
  deafImage,
  freePort,
  loadImage,
  run,
  startDockerd,
  waitFor,
  webImage,
} from './lab/index.ts'

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop()
})
function keep<T extends { stop(): Promise<void> }>(part: T): T {
  running.push(part)
  return part
}

test('a service from a built image answers on a port of the node, and stopping leaves nothing behind', async () => {
  const before = await traces()
  const dockerd = keep(await startDockerd({ swarm: true }))
  await loadImage(dockerd.engine, await webImage({ name: 'web:1', version: 'version 1' }))
  const port = await freePort()
  await createService(dockerd, { name: 'web', image: 'web:1', ports: [{ target: 8080, published: port }] })
  await waitFor(async () => (await body(port)) === 'version 1\n', { what: 'the service to answer' })

  const folder = dirname(dockerd.socket)
  expect(await controlGroups(basename(folder))).not.toEqual([])
  expect(await traces()).not.toEqual(before)

  await dockerd.stop()

  expect(await traces()).toEqual(before)
  expect(await controlGroups(basename(folder))).toEqual([])
  expect(existsSync(folder)).toBe(false)
})

test('a second engine in the same network is refused, and after the first has gone it starts', async () => {
  const first = keep(await startDockerd())
  await expect(startDockerd()).rejects.toThrow(/Stop it first/)
  await first.stop()
  keep(await startDockerd())
})

test('an engine that was killed comes back with its images', async () => {
  const dockerd = keep(await startDockerd())
  await loadImage(dockerd.engine, await webImage({ name: 'web:1', version: 'version 1' }), { as: 'other/web:2' })
  await dockerd.kill9()
  await expect(dockerd.engine.ping()).rejects.toThrow()
  await dockerd.start()
  expect((await dockerd.engine.getImage('other/web:2').inspect()).RepoTags).toContain('web:1')
})

test('the broken image says why and exits 1; the deaf one runs on without listening', async () => {
  const dockerd = keep(await startDockerd())
  await loadImage(dockerd.engine, await brokenImage({ name: 'broken:1' }))
  await loadImage(dockerd.engine, await deafImage({ name: 'deaf:1' }))
  const broken = await dockerd.engine.createContainer({ Image: 'broken:1' })
  await broken.start()
  expect(await broken.wait()).toMatchObject({ StatusCode: 1 })
  const said = String(await broken.logs({ stdout: true, stderr: true }))
  expect(said).toContain('reading the configuration')
  expect(said).toContain('fatal: the database address is missing')

  const deaf = await dockerd.engine.createContainer({ Image: 'deaf:1' })
  await deaf.start()
  await waitFor(async () => String(await deaf.logs({ stdout: true })).includes('started'), { what: 'its first line' })
  expect((await deaf.inspect()).State.Running).toBe(true)
})

/** What an engine could leave behind in this network, this process table and these mounts. */
async function traces() {
  const processes = await run(['ps', '-eo', 'comm='])
  return {
    processes: processes.split('\n').filter((name) => /docker|containerd|runc|tini|busybox|httpd/.test(name)),
    mounts: (await readFile('/proc/self/mounts', 'utf8')).split('\n').length,
    links: (JSON.parse(await run(['ip', '-json', 'link', 'show'])) as { ifname: string }[]).map((link) => link.ifname),
    rules: await run(['iptables', '--wait', '--list-rules']),
  }
}

/** Control groups are the machine's, beyond all namespaces: only those of this name are looked for. */
async function controlGroups(name: string): Promise<string[]> {
  const root = '/sys/fs/cgroup'
  const paths = ['', ...(await readdir(root))].map((controller) => `${root}/${controller}/${name}`)
  return paths.filter((path) => existsSync(path))
}

async function createService(
  dockerd: Dockerd,
  service: { name: string; image: string; ports: { target: number; published: number }[] },
): Promise<void> {
  await dockerd.engine.createService({
    Name: service.name,
    TaskTemplate: { ContainerSpec: { Image: service.image } },
    Mode: { Replicated: { Replicas: 1 } },
    EndpointSpec: {
      Mode: 'dnsrr',
      Ports: service.ports.map((port) => ({
        Protocol: 'tcp' as const,
        TargetPort: port.target,
        PublishedPort: port.published,
        PublishMode: 'host' as const,
      })),
    },
  })
}

async function body(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) })
  return response.text()
}
