import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  type BuiltImage,
  buildImage,
  type Cloud,
  type Dockerd,
  type Freehold,
  quickService,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  until,
} from './lab/index.ts'

/** A service without a port of the node is replaced under the eyes of another one that calls it without a pause. */
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let clusterId: string

beforeAll(async () => {
  dockerd = await startDockerd({ swarm: true })
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  clusterId = cluster.clusterId
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
})

test('not one call is lost while two containers of one revision give way to two of the next', async () => {
  const web = await create({ ...quickService({ name: 'web', clusterId }), scaleFactor: 2, stopGraceSeconds: 10 })
  await cloud.push(dockerd, web, await politeImage('web:1', 'version 1'))
  expect((await cloud.verdict(web, 1)).status).toMatchObject({ phase: 'succeeded', healthy: 2 })

  const base = quickService({ name: 'caller', clusterId })
  const caller = await create({ ...base, ports: {}, healthCheck: { type: 'command', command: ['busybox', 'true'] } })
  await cloud.push(dockerd, caller, await callerImage('caller:1', { host: 'web', port: 8080 }))
  expect((await cloud.verdict(caller, 1)).status.phase).toBe('succeeded')
  await until(() => answers(caller), {
    holds: (lines) => lines.filter((line) => line === 'version 1').length > 20,
    what: 'the caller to be answered',
  })

  await cloud.push(dockerd, web, await politeImage('web:2', 'version 2'))
  const { data, status } = await cloud.verdict(web, 2)
  expect(data.strategy).toBe('beside')
  expect(status).toMatchObject({ phase: 'succeeded', healthy: 2, wanted: 2 })
  const heard = await until(() => answers(caller), {
    holds: (lines) => lines.slice(-20).every((line) => line === 'version 2'),
    what: 'only version 2 to answer',
  })
  expect(new Set(heard)).toEqual(new Set(['version 1', 'version 2']))
})

async function create(data: Parameters<Cloud['client']['services']['create']>[0]['body']['data']): Promise<string> {
  return (await cloud.client.services.create({ body: { data } })).id
}

async function answers(serviceId: string): Promise<string[]> {
  const lines: string[] = []
  for await (const { line } of cloud.client.services.logs({ params: { id: serviceId }, query: { tail: 10_000 } })) {
    lines.push(line)
  }
  return lines
}

/** Told to end, it serves for two more seconds, as a server should that others still have the address of. */
function politeImage(name: string, version: string): Promise<BuiltImage> {
  const script = [
    'busybox httpd -p 8080 -h /www',
    "trap 'busybox sleep 2; exit 0' TERM",
    'while true; do busybox sleep 0.2; done',
  ]
  return buildImage({
    name,
    files: [
      { path: 'start', content: `${script.join('\n')}\n` },
      { path: 'www/index.html', content: `${version}\n` },
    ],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
  })
}

/**
 * Calls again and again by a name it looks up each time, and says what was answered, or that nothing was. A static
 * busybox cannot look up names or ports by itself, which leaves `nslookup` and `nc`.
 */
function callerImage(name: string, target: { host: string; port: number }): Promise<BuiltImage> {
  const lookUp = `busybox nslookup ${target.host} | busybox awk '/^Address/ && $NF !~ /:53$/ { print $NF; exit }'`
  const call = `busybox printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 "$address" ${target.port}`
  const script = `while true; do
  address=$(${lookUp})
  ${call} | busybox grep '^version' || echo "lost: $address"
  busybox sleep 0.05
done
`
  return buildImage({
    name,
    files: [{ path: 'start', content: script }],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
    stopSignal: 'SIGKILL',
  })
}
