import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceRegisterPath } from '@freehold/contracts'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'
import { startPlayedWorker } from './played-worker.testing.ts'

let dashboard: Dashboard
let worker: Awaited<ReturnType<typeof startPlayedWorker>>
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freehold-builds-'))
  worker = await startPlayedWorker()
  dashboard = await startDashboard()
  const workers = [{ id: 'attic', url: worker.url }]
  await dashboard.client.settings.update({ body: { corebuildWorkersJson: JSON.stringify(workers) } })
})
afterAll(async () => {
  await dashboard?.stop()
  await worker?.stop()
  await rm(folder, { recursive: true, force: true })
})

const publicKey = `ssh-ed25519 ${Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('ssh-ed25519'),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7),
]).toString('base64')} me@home`

const next = (page: Page) => page.getByRole('button', { name: 'Next' }).click()
const atStep = (page: Page, name: string) => page.getByRole('heading', { name, level: 2 }).waitFor()

test('an image is built step by step, watched, downloaded, and the device that enrols with it is shown', async () => {
  await dashboard.client.deviceGroups.create({ body: { data: { name: 'berlin', selector: { site: 'berlin' } } } })
  const page = await dashboard.open('/builds')
  await page.getByText('No builds yet').waitFor()
  await page.getByRole('link', { name: 'Build image' }).click()
  await atStep(page, 'Device')
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('radio', { name: 'Raspberry Pi' }).check()
  await next(page)

  await atStep(page, 'Base image')
  await next(page)
  await page.getByText('Choose the image to begin with.').waitFor()
  await page.getByRole('button', { name: 'Add base image' }).click()
  const bytes = randomBytes(20_000_000)
  const file = join(folder, 'Pi_OS-2024.img.xz')
  await writeFile(file, bytes)
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('File').setInputFiles(file)
  expect(await dialog.getByLabel('Name').inputValue()).toBe('pi-os-2024')
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Upload' }).click()
  await expect.poll(() => page.getByRole('radio', { name: 'pi-os-2024', checked: true }).count()).toBe(1)
  expect(await dialog.count()).toBe(0)
  const [base] = (await dashboard.client.baseImages.list()).items
  const digest = createHash('sha256').update(bytes).digest('hex')
  expect(base?.status.blob).toEqual({ digest: `sha256:${digest}`, sizeBytes: bytes.length })
  expect(await faultsOf(page)).toEqual([])
  await next(page)

  await atStep(page, 'Network')
  expect(await page.locator(':focus').textContent()).toBe('Network')
  await page.getByLabel('Hostname').fill('not a hostname')
  await page.getByLabel('Connect by Wi-Fi').check()
  await page.getByLabel('Name of the network').fill('shop')
  await next(page)
  await page.getByText('letters, digits and hyphens (RFC 1123)').waitFor()
  await page.getByText('Type it, or say that it is open.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Hostname').fill('kitchen')
  await page.getByLabel('Passphrase', { exact: true }).fill('correct horse')
  await next(page)

  await atStep(page, 'Access')
  await page.getByLabel('Public SSH key').fill('-----BEGIN OPENSSH PRIVATE KEY-----')
  await next(page)
  await page.getByText('This is the private key').waitFor()
  await page.getByLabel('Public SSH key').fill(publicKey)
  await next(page)

  await atStep(page, 'Group and labels')
  await page.getByLabel('Device group').selectOption('berlin')
  await page.getByText('the device belongs to berlin').waitFor()
  expect(await page.getByLabel('Labels of the device').inputValue()).toBe('site=berlin')
  expect(await faultsOf(page)).toEqual([])
  await next(page)

  await atStep(page, 'Review')
  await page.getByRole('button', { name: 'Change network' }).click()
  await atStep(page, 'Network')
  await page.goBack()
  await atStep(page, 'Review')
  await page.getByText('kitchen · Wi-Fi shop').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Compression').selectOption('zst')
  await page.getByRole('button', { name: 'Build image' }).click()

  await page.getByRole('heading', { name: 'kitchen', level: 1 }).waitFor()
  const played = await worker.job()
  expect(played.job).toMatchObject({ imageKind: 'balena-raw', architecture: 'rpi', compression: 'zst' })
  expect(played.job.wifi).toMatchObject({ ssid: 'shop', passphrase: 'correct horse' })
  played.say({ log: 'The base image is opened.' })
  played.say({ progress: { phase: 'write', doneBytes: 250, totalBytes: 1000 } })
  await page.getByRole('log').getByText('The base image is opened.').waitFor()
  await page.getByRole('progressbar', { name: 'Write the image' }).waitFor()
  expect(await page.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('25')
  expect(await faultsOf(page)).toEqual([])

  const image = randomBytes(300_000)
  await played.succeed(image, 'kitchen.img.zst')
  // The log says it too.
  await page.getByRole('paragraph').filter({ hasText: 'The image is ready.' }).waitFor()
  const sha256 = createHash('sha256').update(image).digest('hex')
  await page.getByText(sha256).waitFor()
  await page.getByText("zstd -dc 'kitchen.img.zst' | sudo dd of=/dev/sdX").waitFor()
  const downloading = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Download' }).click()
  const download = await downloading
  expect(download.suggestedFilename()).toBe('kitchen.img.zst')
  expect((await readFile(await download.path())).equals(image)).toBe(true)

  await page.getByText('No device has enrolled with this image yet.').waitFor()
  const response = await fetch(`${dashboard.freehold.url}${deviceRegisterPath}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${played.job.provisioningToken}` },
    body: JSON.stringify({ nodeId: 'kitchen-1', deviceSecret: 'secret-of-kitchen-1' }),
  })
  expect(response.status).toBe(200)
  const enrolled = page.getByRole('region', { name: 'Device', exact: true }).getByRole('link', { name: 'kitchen-1' })
  await enrolled.waitFor()
  expect(await faultsOf(page)).toEqual([])
  await enrolled.click()
  await page.getByRole('heading', { name: 'kitchen-1', level: 1 }).waitFor()
  await page.getByText('site=berlin').waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('a build is cancelled; one that fails says why, here and in the overview, and another like it begins as it was', async () => {
  const given = { name: 'fin-os', imageKind: 'balena-raw', architecture: 'arm64' } as const
  const where = { url: 'https://example.com/fin-os.img.xz', sha256: 'b'.repeat(64) }
  const base = await dashboard.client.baseImages.create({ body: { data: { ...given, ...where } } })
  const page = await dashboard.open(`/builds/new?base=${base.id}`)
  for (const step of ['Device', 'Base image', 'Network', 'Access', 'Group and labels']) {
    await atStep(page, step)
    await next(page)
  }
  await page.getByRole('button', { name: 'Build image' }).click()
  await worker.job()
  await page.getByRole('button', { name: 'Cancel build' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel build' }).click()
  await page.getByText('Nothing of it is kept.').first().waitFor()

  await page.getByRole('link', { name: 'Build another like it' }).click()
  await page.getByRole('radio', { name: 'Other ARM device', checked: true }).waitFor()
  await dashboard.client.builds.create({
    body: { data: { imageKind: 'balena-raw', architecture: 'arm64', baseImageId: base.id, hostname: 'office' } },
  })
  const played = await worker.job()
  played.say({ log: 'There is no such version.' })
  played.fail('Ubuntu has no such version.')
  await page.goto(`${dashboard.freehold.url}/builds`)
  await page.getByLabel('State').selectOption('failed')
  await page.getByRole('link', { name: 'office' }).click()
  await page.getByRole('paragraph').filter({ hasText: 'Ubuntu has no such version.' }).waitFor()
  await page.getByRole('log').getByText('There is no such version.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.goto(dashboard.freehold.url)
  await page
    .getByRole('region', { name: /^Problems/ })
    .getByRole('link', { name: /office/ })
    .click()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Delete build' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete build' }).click()
  await page
    .getByText('No build fits.')
    .or(page.getByRole('table', { name: 'Builds' }))
    .waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('workers say how they stand, one that does not take its token among them', async () => {
  const locked = await startPlayedWorker({ token: 'the-token-of-it' })
  const workers = [
    { id: 'attic', url: worker.url },
    { id: 'cellar', url: 'http://127.0.0.1:9' },
    { id: 'shed', url: locked.url, token: 'not-the-token-of-it' },
  ]
  try {
    await dashboard.client.settings.update({ body: { corebuildWorkersJson: JSON.stringify(workers) } })
    const page = await dashboard.open('/build-workers')
    const row = (name: RegExp) => page.getByRole('table', { name: 'Build workers' }).getByRole('row', { name })
    await row(/attic/).getByText('Idle').waitFor()
    await row(/cellar/)
      .getByText('Unreachable')
      .waitFor()
    await row(/shed/).getByText('Token refused').waitFor()
    await row(/shed/).getByText('set the one that it was started with (COREBUILD_TOKEN)').waitFor()
    expect(await faultsOf(page)).toEqual([])
    expect(dashboard.complaints).toEqual([])
  } finally {
    await locked.stop()
  }
})

test('base images are added by address, renamed, taken up again, and deleted', async () => {
  const page = await dashboard.open('/base-images')
  await page.getByRole('button', { name: 'Add base image' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Where it comes from').selectOption('url')
  await dialog.getByLabel('Address').fill('https://example.com/images/glass.img.xz')
  await dialog.getByLabel('SHA-256').fill('not one')
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await dialog.getByText('a sha256 in lower-case hexadecimal').first().waitFor()
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByLabel('SHA-256').fill('A'.repeat(64))
  await dialog.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByRole('cell', { name: 'glass' }).first().waitFor()

  const data = { name: 'begun', imageKind: 'balena-raw', architecture: 'arm64' } as const
  await dashboard.client.baseImages.create({ body: { data } })
  await page.getByRole('button', { name: 'Upload begun' }).click()
  const file = join(folder, 'begun.img')
  await writeFile(file, randomBytes(1000))
  await dialog.getByLabel('File').setInputFiles(file)
  await dialog.getByRole('button', { name: 'Upload' }).click()
  await page.getByRole('button', { name: 'Upload begun' }).waitFor({ state: 'detached' })
  expect(await faultsOf(page)).toEqual([])

  await page.getByRole('button', { name: 'More actions of glass' }).click()
  await page.getByRole('menuitem', { name: 'Rename' }).click()
  await dialog.getByLabel('Name').fill('glass-2')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('button', { name: 'More actions of glass-2' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('button', { name: 'More actions of glass-2' }).waitFor({ state: 'detached' })

  // The digest that is none is refused by the server, which browsers write to the console.
  expect(dashboard.complaints.filter((text) => !/status of 400/.test(text))).toEqual([])
})
