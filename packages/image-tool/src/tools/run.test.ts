import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakePrograms } from '../testing.ts'
import { isAlive } from '../workspace.ts'
import { missingPrograms, requirePrograms } from './programs.ts'
import { runTool, streamTool, type ToolSetting } from './run.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'run-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs a shell script under the name of a program of ours. */
const setting = async (script: string, change: Partial<ToolSetting> = {}): Promise<ToolSetting> => ({
  folder,
  searchPath: `${await fakePrograms(await mkdtemp(join(folder, 'a-')), { xz: script })}:/usr/bin:/bin`,
  epochSeconds: 1_700_000_000,
  signal: new AbortController().signal,
  timeoutMs: 60_000,
  stallMs: 60_000,
  ...change,
})
const call = { program: 'xz', args: [] } as const

const read = async (stream: AsyncIterable<Buffer>) => {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

test('a program sees the date and nothing of our own environment', async () => {
  process.env.IMAGE_TOOL_TEST_SECRET = 'hidden'
  try {
    const printed = await runTool(call, await setting('env; pwd'))
    expect(printed).toContain('SOURCE_DATE_EPOCH=1700000000')
    expect(printed).toContain('TZ=UTC')
    expect(printed).toContain(folder)
    expect(printed).not.toContain('hidden')
  } finally {
    delete process.env.IMAGE_TOOL_TEST_SECRET
  }
})

test('a program that fails says why with its last words, and no more', async () => {
  const failing = await setting(
    'i=0; while [ $i -lt 20000 ]; do echo "line $i of noise" >&2; i=$((i+1)); done; echo "disk on fire" >&2; exit 3',
  )
  const error = await runTool(call, failing).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'conflict', message: expect.stringMatching(/^xz failed \(3\): .*disk on fire$/) })
  expect(error.message.length).toBeLessThan(600)
})

test('a program that somebody else ends is no fault of what it was given', async () => {
  const killed = await setting('kill -KILL $$')
  const expected = { code: 'internal', message: expect.stringMatching(/^xz was ended by SIGKILL, for want of memory/) }
  await expect(runTool(call, killed)).rejects.toMatchObject(expected)
  await expect(read(streamTool({ ...call, channel: 'stdout' }, killed))).rejects.toMatchObject(expected)
})

test('a program that is not there is named with its package', async () => {
  const none = await setting('true', { searchPath: '/nowhere' })
  const expected = {
    code: 'unavailable',
    message: expect.stringContaining('apt-get install --no-install-recommends xz-utils'),
  }
  await expect(runTool(call, none)).rejects.toMatchObject(expected)
  await expect(requirePrograms(['xz'], '/nowhere')).rejects.toMatchObject(expected)
  expect(await missingPrograms(['xz', 'mcopy'], none.searchPath)).toEqual(['xz', 'mcopy'])
})

test('a program that hangs is ended, and what it started too', async () => {
  const hanging = await setting('sleep 1000 & echo $! > child; wait', { timeoutMs: 500, stallMs: 500 })
  await expect(runTool(call, hanging)).rejects.toMatchObject({ code: 'timeout' })
  const child = Number(await readFile(join(folder, 'child'), 'utf8'))
  await expect.poll(() => isAlive(child)).toBe(false)
  await expect(read(streamTool({ ...call, channel: 'stdout' }, hanging))).rejects.toMatchObject({ code: 'timeout' })
})

test('a program that prints without end is ended', async () => {
  await expect(runTool(call, await setting('yes'))).rejects.toThrow(/prints without end/)
  await expect(runTool(call, await setting('yes >&2', { timeoutMs: 1000 }))).rejects.toMatchObject({ code: 'timeout' })
})

test('a cancelled build ends its program with the reason given', async () => {
  const cancel = new AbortController()
  const running = runTool(call, await setting('sleep 1000', { signal: cancel.signal }))
  cancel.abort(new Error('not wanted'))
  await expect(running).rejects.toThrow('not wanted')
  await expect(runTool(call, await setting('true', { signal: cancel.signal }))).rejects.toThrow('not wanted')
})

test('a stream passes through a program, by either descriptor', async () => {
  async function* input() {
    for (let index = 0; index < 100; index += 1) yield Buffer.alloc(10_000, 'x')
  }
  expect(await read(streamTool({ ...call, channel: 'stdout', input: input() }, await setting('cat')))).toHaveLength(
    1_000_000,
  )
  expect(await read(streamTool({ ...call, channel: 'descriptor-3' }, await setting('echo three >&3')))).toBe('three\n')
})

test('a fault of the input is what is told, not that the program found it short', async () => {
  async function* input() {
    yield Buffer.from('begin')
    throw new Error('the input broke')
  }
  const stream = streamTool({ ...call, channel: 'stdout', input: input() }, await setting('cat; exit 1'))
  await expect(read(stream)).rejects.toThrow('the input broke')
})

test('a program that fails after its last byte fails the stream', async () => {
  await expect(read(streamTool({ ...call, channel: 'stdout' }, await setting('echo a; exit 9')))).rejects.toThrow(
    /\(9\)/,
  )
})

test('who stops reading ends the program', async () => {
  for await (const chunk of streamTool({ ...call, channel: 'stdout' }, await setting('echo $$; sleep 1000'))) {
    const pid = Number(chunk.toString())
    expect(isAlive(pid)).toBe(true)
    break
  }
})
