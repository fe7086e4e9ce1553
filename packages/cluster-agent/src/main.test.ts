import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

let directory: string
let child: ChildProcess | undefined

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-agent-main-'))
})
afterEach(async () => {
  child?.kill('SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

function start(environment: Record<string, string>) {
  const started = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { PATH: process.env.PATH, FREEHOLD_AGENT_DIR: directory, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child = started
  const written = { text: '' }
  for (const stream of [started.stdout, started.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      written.text += text
    })
  }
  const ended = new Promise<number | null>((resolve) => started.once('close', resolve))
  const saying = async (sentence: string) => {
    while (!written.text.includes(sentence)) {
      if (started.exitCode !== null) throw new Error(`It ended first:\n${written.text}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return { pid: started.pid, written, ended, saying, terminate: () => started.kill('SIGTERM') }
}

test('with wrong settings it ends with code 2 and names every fault', async () => {
  const agent = start({ DOCKER_HOST: 'ssh://somewhere' })
  expect(await agent.ended).toBe(2)
  expect(agent.written.text).toContain('CLOUDLY_URL: is not set')
  expect(agent.written.text).toContain('DOCKER_HOST: unix:///path or tcp://host:port')
})

test('without a control plane and an engine it says so and keeps trying, and ends when told, its code never logged', async () => {
  const agent = start({
    CLOUDLY_URL: 'http://127.0.0.1:1',
    JUMPCODE: 'a-secret-jump-code',
    DOCKER_HOST: `unix://${directory}/none.sock`,
  })
  await agent.saying('Could not join the cluster yet.')
  await agent.saying('there is no such socket')
  const commandLine = await readFile(`/proc/${agent.pid}/cmdline`, 'utf8')
  expect(commandLine).toContain('--max-semi-space-size=1')
  agent.terminate()
  expect(await agent.ended).toBe(0)
  expect(agent.written.text).not.toContain('a-secret-jump-code')
})
