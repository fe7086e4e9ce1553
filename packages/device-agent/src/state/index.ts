/**
 * What the agent remembers over restarts, in one JSON file. What always holds, also when the power goes at any byte:
 *
 * 1. A state that was saved is read again, or the one before it; never half of one.
 * 2. The newest state is written beside (`.new`), synced and renamed over the old, whose content stays as `.previous`.
 * 3. Files are readable by their owner alone.
 * 4. What can be read neither here nor in `.previous` is put aside as `.damaged` and counts as no state.
 */
import { dirname } from 'node:path'
import { FreeholdError } from '@freehold/contracts/lean'
import { copyFile, mkdir, open, readFile, rename, rm } from '../builtin.ts'
import { parseJson } from '../parse.ts'
import { type DeviceState, readState, writeState } from './state.ts'

export { createState, type DeviceState, type TokenLife } from './state.ts'

export interface StateFile {
  /** Null: there is none yet. `problem`: what was wrong with the file, for people. */
  load(): Promise<{ state: DeviceState | null; problem: string | null }>
  /** Resolves when it is on disk. Throws `storage-unwritable` or `storage-full`; then the old state stands. */
  save(state: DeviceState): Promise<void>
}

const largestStateBytes = 4 * 1024 * 1024

export function openStateFile(path: string): StateFile {
  let queue: Promise<unknown> = Promise.resolve()
  return {
    load: () => load(path),
    save: (state) => {
      const saved = queue.then(() => save(path, state))
      queue = saved.catch(() => undefined)
      return saved
    },
  }
}

async function load(path: string): Promise<{ state: DeviceState | null; problem: string | null }> {
  const newest = await readOne(path)
  if (newest.state) return { state: newest.state, problem: null }
  const previous = await readOne(`${path}.previous`)
  if (!newest.present) {
    const problem = previous.state ? `${path} was missing; the copy before it was taken.` : null
    return { state: previous.state, problem }
  }
  // Kept for a person to look at; a second damage replaces the first.
  await rename(path, `${path}.damaged`).catch(() => undefined)
  const taken = previous.state ? 'the copy before it was taken' : 'this device begins anew'
  return { state: previous.state, problem: `${path} could not be read and was put aside as .damaged; ${taken}.` }
}

async function readOne(path: string): Promise<{ state: DeviceState | null; present: boolean }> {
  try {
    const text = await readFile(path, 'utf8')
    return { state: text.length > largestStateBytes ? null : readState(parseJson(text)), present: true }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return { state: null, present: false }
    throw new FreeholdError('storage-unwritable', `The state file ${path} cannot be read: ${message}`, { cause: error })
  }
}

async function save(path: string, state: DeviceState): Promise<void> {
  try {
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeSynced(`${path}.new`, writeState(state))
    if ((await readOne(path)).state) await keepPrevious(path)
    await rename(`${path}.new`, path)
    await syncFolder(dirname(path))
    if (made !== undefined) await syncAbove(dirname(path), made)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    throw new FreeholdError(
      isFull ? 'storage-full' : 'storage-unwritable',
      `The state file ${path} cannot be written (${code ?? message}). Check the volume it lies on.`,
      { cause: error },
    )
  }
}

/** A copy, not a link: some file systems of devices have no links. Synced before it takes the place of the older one. */
async function keepPrevious(path: string): Promise<void> {
  const copy = `${path}.previous.new`
  await rm(copy, { force: true })
  await copyFile(path, copy)
  const file = await open(copy, 'r+')
  try {
    await file.chmod(0o600)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(copy, `${path}.previous`)
}

async function writeSynced(path: string, content: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.chmod(0o600)
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The names of folders that were made: `first` and those below it, down to `path`. */
async function syncAbove(path: string, first: string): Promise<void> {
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) await syncFolder(dirname(folder))
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
