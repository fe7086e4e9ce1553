import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openServerSecret } from './index.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-secrets-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('the key file', () => {
  const keyOf = async (purpose: string, appSecret?: string) =>
    (await openServerSecret({ appSecret, dataDirectory: directory })).deriveKey(purpose).reveal().toString('hex')

  test('is made once, for its owner alone, and gives the same keys after every start', async () => {
    const first = await keyOf('a')
    expect((await stat(join(directory, 'secret.key'))).mode & 0o777).toBe(0o600)
    expect(await keyOf('a')).toBe(first)
    expect(first).toHaveLength(64)
  })

  test('gives each purpose a key of its own', async () => {
    expect(await keyOf('a')).not.toBe(await keyOf('b'))
  })

  test('is the same for several that make it at once, and leaves no drafts', async () => {
    const keys = await Promise.all([keyOf('a'), keyOf('a'), keyOf('a'), keyOf('a')])
    expect(new Set(keys).size).toBe(1)
    expect(await readdir(directory)).toEqual(['secret.key'])
  })

  test('that others may read stops the start', async () => {
    await keyOf('a')
    await chmod(join(directory, 'secret.key'), 0o644)
    await expect(keyOf('a')).rejects.toThrow(/chmod 600/)
  })

  test('that is damaged stops the start', async () => {
    await writeFile(join(directory, 'secret.key'), 'short', { mode: 0o600 })
    await expect(keyOf('a')).rejects.toThrow(/damaged/)
  })

  test('is not made where APP_SECRET is set', async () => {
    await keyOf('a', 'x'.repeat(32))
    expect(await readdir(directory)).toEqual([])
  })
})
