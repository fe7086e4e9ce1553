import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { desiredOf, workloadOf } from '../simulation/desired.ts'
import { createIdentity, openAgentState } from './index.ts'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-agent-state-'))
})
afterEach(() => rm(directory, { recursive: true }))

test('what was written is read again by the next process, readable by its owner alone', async () => {
  const [identity, desired] = [createIdentity(), desiredOf([workloadOf('web', 1)])]
  const state = await openAgentState(directory)
  await state.writeIdentity(identity)
  await state.writeDesired(desired)
  await state.writeCreated(['web-r1'])
  const next = await openAgentState(directory)
  expect(await next.readIdentity()).toEqual(identity)
  expect(await next.readDesired()).toEqual(desired)
  expect(await next.readCreated()).toEqual(['web-r1'])
  const files = await readdir(directory)
  expect(files.sort()).toEqual(['created.json', 'desired.json', 'identity.json'])
  for (const file of files) expect((await stat(join(directory, file))).mode & 0o777).toBe(0o600)
})

test('a desired state that cannot be read counts as none, an identity that cannot be read stops the agent', async () => {
  const state = await openAgentState(directory)
  expect(await state.readIdentity()).toBeNull()
  await writeFile(join(directory, 'desired.json'), '{"clusterId":"half a')
  await writeFile(join(directory, 'identity.json'), '{}')
  expect(await state.readDesired()).toBeNull()
  await expect(state.readIdentity()).rejects.toThrow('enrol the node again')
})

test('a half-written file of a process that was killed changes nothing', async () => {
  const state = await openAgentState(directory)
  const desired = desiredOf([workloadOf('web', 1)])
  await state.writeDesired(desired)
  await writeFile(join(directory, '.desired.json.new'), '{"cluster')
  expect(await state.readDesired()).toEqual(desired)
  await state.writeDesired({ ...desired, generation: 2 })
  expect(await state.readDesired()).toMatchObject({ generation: 2 })
})

test('passwords of registries elsewhere never reach the disk', async () => {
  const state = await openAgentState(directory)
  const externalPulls = [{ image: 'registry.example/app', username: 'robot', password: 'open-sesame' }]
  await state.writeDesired({ ...desiredOf([workloadOf('web', 1)]), externalPulls })
  const files = await readdir(directory)
  const contents = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')))
  expect(contents.join()).not.toContain('open-sesame')
  expect((await state.readDesired())?.externalPulls).toEqual([])
})
