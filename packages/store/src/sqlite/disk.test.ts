import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Store } from '../store.ts'
import { alice, createService, kinds, note, service } from '../suite/test-bed.ts'
import { openSqliteStore } from './open.ts'

const nobody = { uid: 65534, gid: 65534 }
const isRoot = process.getuid?.() === 0
const mayMount = isRoot && canMount()
const program = fileURLToPath(new URL('../suite/crash-child.ts', import.meta.url))
const mayDeny = !isRoot || canRunAsOther()

describe.skipIf(!mayMount)(
  `a small disk${mayMount ? '' : ' (skipped: run as root, where tmpfs may be mounted)'}`,
  () => {
    it('that is full refuses writes as storage-full, keeps what it has, and takes writes again when room returns', async () => {
      const { directory } = mountSmallDisk()
      const ballast = join(directory, 'ballast')
      writeFileSync(ballast, Buffer.alloc(3 * 1024 * 1024))
      const store = await openSqliteStore({ directory, kinds })
      const kept = await fillDisk(store)
      expect(kept.length).toBeGreaterThan(3)
      store.facts.set(note, kept[0] ?? '', 'lastSeen', 'x'.repeat(100_000))
      await expect(store.facts.flush()).rejects.toMatchObject({ code: 'storage-full' })
      expect((await store.all(note)).map(({ id }) => id)).toEqual(kept)
      expect(await store.version()).toBe(kept.length)
      expect(await store.verifyAudit()).toEqual({ checked: kept.length, firstBroken: null })

      rmSync(ballast)
      await createService(store, { name: 'after' })
      await store.facts.flush()
      await store.close()
      const again = await openSqliteStore({ directory, kinds })
      onTestFinished(() => again.close())
      expect((await again.all(note)).map(({ id }) => id)).toEqual(kept)
      expect(await again.find(service, 'name', 'after')).toBeDefined()
      expect(await again.facts.get(note, kept[0] ?? '')).toEqual({ lastSeen: 'x'.repeat(100_000) })
      expect(await again.verifyAudit()).toEqual({ checked: kept.length + 1, firstBroken: null })
    })

    it('that is full from the start refuses the opening as storage-full', async () => {
      const { directory } = mountSmallDisk()
      try {
        writeFileSync(join(directory, 'ballast'), Buffer.alloc(64 * 1024 * 1024))
      } catch {
        // The disk is full now, as it should be.
      }
      await expect(openSqliteStore({ directory, kinds })).rejects.toMatchObject({ code: 'storage-full' })
    })

    it('that is mounted read-only refuses the opening as storage-unwritable, and has lost nothing after', async () => {
      const { directory, remount } = mountSmallDisk()
      const store = await openSqliteStore({ directory, kinds })
      const { id } = await createService(store, { name: 'web' })
      await store.close()
      remount('ro')
      await expect(openSqliteStore({ directory, kinds })).rejects.toMatchObject({
        code: 'storage-unwritable',
        message: expect.stringContaining(directory),
      })
      remount('rw')
      const again = await openSqliteStore({ directory, kinds })
      onTestFinished(() => again.close())
      expect(await again.get(service, id)).toMatchObject({ data: { name: 'web' } })
    })
  },
)

describe.skipIf(!mayDeny)('a directory without write permission', () => {
  it.each([
    ['an empty one', 0o500, false],
    ['one with a store in it', 0o500, true],
  ])('%s is storage-unwritable', async (_, mode, filled) => {
    const directory = temporaryDirectory()
    if (filled) await (await openSqliteStore({ directory, kinds })).close()
    if (isRoot) chmodSync(directory, 0o755)
    else chmodSync(directory, mode)
    onTestFinished(() => chmodSync(directory, 0o700))
    const answer = await openInOtherProcess(directory)
    expect(answer.code).toBe(1)
    expect(answer.complaint).toContain('cannot be written')
    expect(answer.complaint).toContain(directory)
  })
})

describe('a second process', () => {
  it('is refused, told by whom, and let in once the first has closed', async () => {
    const directory = temporaryDirectory()
    const store = await openSqliteStore({ directory, kinds })
    const refused = await openInOtherProcess(directory, { asOther: false })
    expect(refused.code).toBe(1)
    expect(refused.complaint).toContain(
      `The data directory ${directory} is in use by another process (pid ${process.pid})`,
    )
    await expect(openSqliteStore({ directory, kinds })).rejects.toMatchObject({ code: 'conflict' })
    await createService(store, { name: 'still-mine' })
    await store.close()
    const admitted = await openInOtherProcess(directory, { asOther: false })
    expect(admitted).toEqual({ code: null, complaint: '' })
  })
})

async function fillDisk(store: Store): Promise<string[]> {
  const kept: string[] = []
  for (;;) {
    try {
      const written = await store.transaction(alice, (t) => t.create(note, { data: 'x'.repeat(40_000) }))
      kept.push(written.id)
    } catch (error) {
      expect(error).toMatchObject({ code: 'storage-full' })
      return kept
    }
  }
}

/** Opens the store in a child, as another user when this one is root; a child that got it is killed at its first write. */
async function openInOtherProcess(directory: string, { asOther = true } = {}) {
  const account = asOther && isRoot ? nobody : {}
  const child = spawn(process.execPath, [program, 'sqlite', directory], {
    ...account,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk
  })
  child.stdout.once('data', () => child.kill('SIGKILL'))
  const [code] = await once(child, 'close')
  return { code, complaint }
}

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'freehold-disk-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function mountSmallDisk() {
  const directory = temporaryDirectory()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'freehold-test', directory])
  onTestFinished(() => void execFileSync('umount', ['-l', directory]))
  return {
    directory,
    remount: (mode: 'ro' | 'rw') => execFileSync('mount', ['-o', `remount,${mode}`, directory]),
  }
}

/** Root is kept out by no file mode, so a child without rights stands in; it must be able to read the project. */
function canRunAsOther(): boolean {
  const read = ['-e', 'fs.readFileSync(process.argv[1])', program]
  return spawnSync(process.execPath, read, { ...nobody, cwd: '/', stdio: 'ignore' }).status === 0
}

function canMount(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'freehold-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'freehold-test', directory], { stdio: 'ignore' })
    execFileSync('umount', [directory])
    return true
  } catch {
    return false
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
