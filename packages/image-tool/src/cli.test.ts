import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeUbuntuShapedIso, whyNoBaseImages } from '../../../tools/base-images.ts'
import { runCli } from './cli.ts'
import { createWorkbench, type Workbench } from './testing.ts'

const why = whyNoBaseImages()
const entry = join(import.meta.dirname, 'main.ts')

let bench: Workbench
beforeEach(async () => {
  bench = await createWorkbench()
})
afterEach(async () => {
  expect(await bench.leftovers()).toEqual([])
  await bench[Symbol.asyncDispose]()
})

const config = (change: object = {}) => ({
  ...{ version: 1, kind: 'ubuntu-iso', architecture: 'amd64', output: { path: 'out.iso' } },
  base: { path: 'base.iso', unverified: true },
  ...change,
})

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: '', err: '' }
  const code = await runCli(argv, {
    env: {},
    signal: new AbortController().signal,
    out: (text) => {
      said.out += text
    },
    err: (text) => {
      said.err += text
    },
  })
  return { code, ...said }
}

async function write(content: unknown): Promise<string> {
  const path = join(bench.folder, 'config.json')
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

const folders = () => ['--cache', join(bench.folder, 'cache'), '--workdir', join(bench.folder, 'work')]

test('a configuration is checked without building', async () => {
  expect(await run('check', '--config', await write(config()))).toMatchObject({ code: 0 })
  expect(await run('check', '--config', await write(config({ hostname: 'a b' })))).toMatchObject({
    code: 2,
    err: expect.stringContaining('hostname: must be'),
  })
})

test('what is wrong with a command is said, and no text of a configuration', async () => {
  expect(await run()).toMatchObject({ code: 2, out: expect.stringContaining('image-tool build') })
  expect(await run('paint')).toMatchObject({ code: 2, err: expect.stringContaining('no command "paint"') })
  expect(await run('build')).toMatchObject({ code: 2, err: expect.stringContaining('--config FILE') })
  expect(await run('build', '--colour', 'red')).toMatchObject({ code: 2 })
  expect(await run('build', '--config', join(bench.folder, 'none.json'))).toMatchObject({ code: 2 })
  const broken = await run('build', '--config', await write('{"token": secret}'))
  expect(broken).toMatchObject({ code: 2, err: expect.stringContaining('is not JSON') })
  expect(broken.err).not.toContain('secret')
})

test('the programs are listed with their packages', async () => {
  expect((await run('programs')).out).toMatch(/^ubuntu-iso\txorriso\txorriso\t(installed|missing)$/m)
})

describe.skipIf(why !== undefined)('a build', () => {
  test('tells its progress and ends with the image as JSON', async () => {
    await makeUbuntuShapedIso(join(bench.folder, 'base.iso'))
    const built = await run('build', '--config', await write(config()), '--json', ...folders())
    expect(built.code).toBe(0)
    expect(JSON.parse(built.out)).toMatchObject({ filename: 'out.iso', path: join(bench.folder, 'out.iso') })
    const lines = built.err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.some(({ progress }) => progress?.phase === 'write')).toBe(true)
    expect(lines.some(({ log }) => log !== undefined)).toBe(true)
  })

  test('that cannot write its image says where', async () => {
    await makeUbuntuShapedIso(join(bench.folder, 'base.iso'))
    const file = await write(config({ output: { path: 'base.iso/out.iso' } }))
    expect(await run('build', '--config', file, ...folders())).toMatchObject({
      code: 1,
      err: expect.stringMatching(/base\.iso.* cannot be written/),
    })
  })

  test('ends with a signal, and nothing of it stays', async () => {
    const server = createServer((_, response) => void response.writeHead(200, { 'content-length': 10 }).write('a'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const file = await write(config({ base: { url, unverified: true } }))
    try {
      const asked = once(server, 'request')
      const child = spawn(process.execPath, [entry, 'build', '--config', file, ...folders()], { stdio: 'ignore' })
      await asked
      child.kill('SIGTERM')
      expect((await once(child, 'close'))[0]).toBe(130)
      expect(await readdir(bench.folder)).not.toContain('out.iso')
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
