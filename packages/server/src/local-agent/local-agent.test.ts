import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLocalAgent, type LocalAgent } from './index.ts'

let directory = ''
let engine: Server | undefined
let agent: LocalAgent | undefined

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-local-'))
})
afterEach(async () => {
  await agent?.stop()
  engine?.closeAllConnections()
  engine?.close()
  agent = undefined
  engine = undefined
  await rm(directory, { recursive: true, force: true })
})

/** Something that answers like a Docker engine's `/_ping`, on a socket of its own. */
async function startEngine(): Promise<string> {
  const path = join(directory, 'docker.sock')
  const server = createServer((request, response) => response.writeHead(request.url === '/_ping' ? 200 : 404).end('OK'))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  engine = server
  return `unix://${path}`
}

async function begin(options: { dockerHost: string; program: string }) {
  const entry = join(directory, 'agent.mjs')
  await writeFile(entry, options.program)
  const said: string[] = []
  const lines: string[] = []
  let enrolments = 0
  agent = createLocalAgent({
    entry,
    dockerHost: options.dockerHost,
    controlPlaneUrl: 'http://127.0.0.1:1',
    directory: join(directory, 'agent'),
    logLevel: 'info',
    enrol: async () => {
      enrolments += 1
      return { jumpCode: `code${enrolments}` }
    },
    say: (sentence) => said.push(sentence),
    passOn: (line) => lines.push(line),
  })
  return { said, lines, enrolments: () => enrolments }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

const stays = `
const { CLOUDLY_URL, JUMPCODE, DOCKER_HOST, FREEHOLD_AGENT_DIR, APP_SECRET } = process.env
console.log(JSON.stringify({ pid: process.pid, CLOUDLY_URL, JUMPCODE, DOCKER_HOST, FREEHOLD_AGENT_DIR, APP_SECRET, argv: process.argv.length }))
process.on('SIGTERM', () => { console.error('bye'); process.exit(0) })
setInterval(() => {}, 1000)
`

test('where an engine answers, the agent runs with what it needs and nothing of ours', async () => {
  process.env.APP_SECRET = 'must not be passed on'
  try {
    const dockerHost = await startEngine()
    const { said, lines } = await begin({ dockerHost, program: stays })
    await until(() => lines.length > 0)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      CLOUDLY_URL: 'http://127.0.0.1:1',
      JUMPCODE: 'code1',
      DOCKER_HOST: dockerHost,
      FREEHOLD_AGENT_DIR: join(directory, 'agent'),
      argv: 2,
    })
    expect(lines[0]).not.toContain('must not be passed on')
    expect(said.join()).toContain('becomes the cluster "local"')
  } finally {
    delete process.env.APP_SECRET
  }
})

test('stopping ends the agent in good order', async () => {
  const { lines } = await begin({ dockerHost: await startEngine(), program: stays })
  await until(() => lines.length > 0)
  const { pid } = JSON.parse(lines[0] ?? '') as { pid: number }
  await agent?.stop()
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
})

test('an agent that dies is started again, with a new code, and that is said', async () => {
  const { said, lines, enrolments } = await begin({
    dockerHost: await startEngine(),
    program: 'console.log(process.env.JUMPCODE); process.exit(3)',
  })
  await until(() => lines.includes('code2'))
  expect(enrolments()).toBe(2)
  expect(said).toContain('Local cluster: the agent ended (exit code 3); starting it again in 1 s.')
})

test('an agent that has joined already is given no new code; one that was cut off while joining is', async () => {
  const identity = join(directory, 'agent', 'identity.json')
  await mkdir(join(directory, 'agent'))
  await writeFile(identity, JSON.stringify({ node: { nodeId: 'node' } }))
  const program = `
    import { writeFileSync } from 'node:fs'
    console.log(process.env.JUMPCODE ?? 'no code')
    writeFileSync(${JSON.stringify(identity)}, JSON.stringify({ node: null }))
    process.exit(1)`
  const { lines } = await begin({ dockerHost: await startEngine(), program })
  await until(() => lines.length >= 2)
  expect(lines.slice(0, 2)).toEqual(['no code', 'code1'])
})

test('a line without an end is cut and passed on once; the lines after it come through', async () => {
  const program = `
    process.on('SIGTERM', () => process.stdout.write('xxx\\nshort\\r\\n\\nlast', () => process.exit(0)))
    setInterval(() => {}, 1000)
    process.stdout.write('x'.repeat(300_000), () =>
      process.stdout.write('x'.repeat(300_000), () => console.error('all written')))`
  const { lines } = await begin({ dockerHost: await startEngine(), program })
  await until(() => lines.includes('all written'))
  await agent?.stop()
  await until(() => lines.includes('last'))
  expect(lines).toEqual(['x'.repeat(8192), 'all written', 'short', '', 'last'])
})

test('where no engine answers, that is said once, and stopping does not wait for the next look', async () => {
  const { said, lines } = await begin({ dockerHost: `unix://${join(directory, 'nothing.sock')}`, program: stays })
  await until(() => said.length > 0)
  expect(said).toEqual([expect.stringContaining('no Docker engine answers')])
  await agent?.stop()
  expect(lines).toEqual([])
})
