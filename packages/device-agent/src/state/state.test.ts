import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createState, type DeviceState, openStateFile } from './index.ts'
import { readState, writeState } from './state.ts'
import { openStateStore } from './store.ts'

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-device-state-'))
  path = join(directory, 'deep', 'state.json')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const older: DeviceState = { ...createState(), nodeToken: 'older-token-0123456789' }
const newer: DeviceState = {
  ...older,
  nodeToken: 'newer-token-0123456789',
  previousNodeToken: 'older-token-0123456789',
  generation: 3,
  desiredState: { generation: 3, later: ['x'] },
  pendingUpdate: { id: 'u1', requestedBy: 'command', commitBefore: null },
}

test('what was saved is read again by the next process, readable by its owner alone', async () => {
  const file = openStateFile(path)
  await file.save(older)
  await file.save(newer)
  expect(await openStateFile(path).load()).toEqual({ state: newer, problem: null })
  for (const name of [path, `${path}.previous`]) expect((await stat(name)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ nodeId: newer.nodeId, nodeToken: newer.nodeToken })
})

test('cut off at every length it is still the newest state or the one before it, never another', async () => {
  await openStateFile(path).save(older)
  await openStateFile(path).save(newer)
  const whole = await readFile(path)
  for (let length = 0; length <= whole.length; length++) {
    await writeFile(path, whole.subarray(0, length))
    const { state, problem } = await openStateFile(path).load()
    // Without its last line break the text is whole.
    const isWhole = length >= whole.length - 1
    expect(state, `cut at ${length}`).toEqual(isWhole ? newer : older)
    expect(problem === null).toBe(isWhole)
  }
})

test('cut off while it was being written, at every length, the state before it stands', async () => {
  await openStateFile(path).save(older)
  const whole = Buffer.from(writeState(newer))
  for (let length = 0; length <= whole.length; length += 7) {
    await writeFile(`${path}.new`, whole.subarray(0, length))
    await writeFile(`${path}.previous.new`, whole.subarray(0, length))
    expect(await openStateFile(path).load()).toEqual({ state: older, problem: null })
  }
  await openStateFile(path).save(newer)
  expect((await openStateFile(path).load()).state).toEqual(newer)
})

test('with the file and its copy damaged the device begins anew, says so, and keeps the damaged one', async () => {
  const file = openStateFile(path)
  await file.save(older)
  await file.save(newer)
  for (const name of [path, `${path}.previous`]) {
    const handle = await open(name, 'r+')
    await handle.write(Buffer.alloc(200))
    await handle.close()
  }
  const { state, problem } = await openStateFile(path).load()
  expect([state, problem]).toEqual([null, expect.stringContaining('begins anew')])
  expect((await stat(`${path}.damaged`)).isFile()).toBe(true)
})

test('a damaged state never takes the place of the good copy', async () => {
  const file = openStateFile(path)
  await file.save(older)
  await file.save(newer)
  await writeFile(path, 'damaged')
  await file.save({ ...newer, generation: 4, desiredState: { generation: 4 } })
  expect(JSON.parse(await readFile(`${path}.previous`, 'utf8'))).toMatchObject({ nodeToken: older.nodeToken })
})

test('where nothing can be written the old state stands, and the failure names the file', async () => {
  const blocked = join(directory, 'a-file')
  await writeFile(blocked, '')
  const file = openStateFile(join(blocked, 'state.json'))
  await expect(file.save(older)).rejects.toThrow(/a-file\/state\.json cannot be written/)
  expect(await file.load()).toEqual({ state: null, problem: null })
  const store = await openStateStore({ file, nodeId: null })
  const before = store.current()
  await expect(store.change((state) => ({ ...state, generation: 9 }))).rejects.toThrow('cannot be written')
  expect(store.current()).toEqual(before)
})

test('a file written by hand needs an id alone', () => {
  expect(readState({ nodeId: 'kiosk-7' })).toMatchObject({ nodeId: 'kiosk-7', nodeToken: null, generation: 0 })
  expect(readState({ nodeToken: 'some-token-0123456789' })).toBeNull()
})

test('an id fixed by the owner wins over the stored one, whose token is dropped', async () => {
  const file = openStateFile(path)
  await file.save(newer)
  expect((await openStateStore({ file, nodeId: newer.nodeId })).current()).toEqual(newer)
  const store = await openStateStore({ file, nodeId: 'kiosk-7' })
  expect(store.current()).toMatchObject({ nodeId: 'kiosk-7', nodeToken: null, generation: 0 })
})

test('whatever JSON is in the file is read as a state or as none; a state reads the same a second time', () => {
  const nearly = fc.dictionary(
    fc.constantFrom('nodeId', 'nodeToken', 'tokenLife', 'desiredState', 'generation', 'pendingUpdate', 'extra'),
    fc.oneof(fc.jsonValue(), fc.constant('a-good-looking-token')),
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), nearly), (value) => {
      const state = readState(value)
      if (!state) return
      expect(readState(JSON.parse(writeState(state)))).toEqual(state)
    }),
  )
})
