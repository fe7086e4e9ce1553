/** Updates a host with two roots again and again, to be killed at any moment: `two-roots.fixture.ts FOLDER`. */
import { carryOutBoot, decideBoot, readLayout } from './boot-record.ts'
import { createDisk } from './disk.ts'
import { hostManifest, noLocks, rootImage, sourceOf } from './host.testing.ts'
import { createTwoRootsDriver } from './two-roots.ts'

const directory = process.argv[2] ?? ''
const images = [rootImage('2.0.0', 60), rootImage('3.0.0', 60)]
const manifests = images.map(({ digest }, index) => hostManifest({ version: `${index + 2}.0.0`, digest }))
const driver = createTwoRootsDriver({
  directory,
  source: sourceOf(images),
  restart: async () => {},
  checkHealth: null,
  locks: noLocks,
})
const { signal } = new AbortController()

process.stdout.write('ready\n')
for (;;) {
  const running = await driver.running(signal)
  const next = manifests.find(({ releaseId }) => releaseId !== running)
  if (!next) throw new Error('There is no other release.')
  if ((await driver.rollBack(signal)) === 'restarting') await boot()
  await driver.download(next, { signal, onProgress: () => {} })
  await driver.apply(next, { force: true, signal })
  await boot()
  await driver.commit(next, signal)
  process.stdout.write(`${next.version}\n`)
}

/** What the boot program would do, in this process: it counts the boot. */
async function boot(): Promise<void> {
  const decision = decideBoot(await readLayout(directory))
  if (!decision) throw new Error('No root can boot.')
  await carryOutBoot(directory, decision, createDisk())
}
