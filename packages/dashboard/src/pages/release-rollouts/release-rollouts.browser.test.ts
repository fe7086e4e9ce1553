import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { waitFor } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'
import { beatAll, type PlayedDevice, type Plays, playDevices, pushImageTo } from '../devices/played-devices.testing.ts'

let dashboard: Dashboard
let devices: PlayedDevice[]
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

const names = Array.from({ length: 10 }, (_, index) => `till-${index}`)
const log = 'web | starting\nweb | fatal: the database address is missing'
const succeed: Plays = () => ({ state: 'succeeded' })
const fail: Plays = () => ({ state: 'failed', message: 'Its container ended at once.', log })

test('empty pages say what to do first, and lead there', async () => {
  const page = await dashboard.open('/release-rollouts')
  await page.getByText('Make a release first.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('link', { name: 'Go to releases' }).click()
  await page.getByText('No releases yet').waitFor()
  const places = page.getByRole('navigation', { name: 'Devices' }).getByRole('link')
  expect(await places.allTextContents()).toEqual([
    'Devices',
    'Releases',
    'Rollouts',
    'Channels & groups',
    'Join tokens',
    'Signed updates',
  ])
  const main = page.getByRole('navigation', { name: 'Main' })
  expect(await main.getByRole('link', { name: 'Devices' }).getAttribute('aria-current')).toBe('page')
  expect(await faultsOf(page)).toEqual([])
})

test('a release is made from an image that is picked; what cannot be is said beside its field', async () => {
  await pushImageTo(dashboard, { repository: 'shop/web', tag: '1.0.0' })
  await pushImageTo(dashboard, { repository: 'shop/web', tag: '1.1.0' })
  const page = await dashboard.open('/releases/new')
  await page.getByLabel('Product').fill('shop')
  await page.getByLabel('Version', { exact: true }).fill('one')
  await page.getByLabel('Service name').fill('web')
  await page.getByLabel('Image', { exact: true }).fill('shop/web:9.9.9')
  await page.getByLabel('Ports').fill('http')
  const make = page.getByRole('button', { name: 'Make release' })
  await make.click()
  await page.getByText('“http” is no port').waitFor()
  await page.getByLabel('Ports').fill('80:8080')
  await make.click()
  await page.getByText('a semantic version such as 1.4.0 or 1.5.0-beta.1', { exact: true }).waitFor()
  await page.getByLabel('Version', { exact: true }).fill('1.0.0')
  await make.click()
  await page.getByText('This registry has no shop/web:9.9.9').first().waitFor()
  expect(await page.getByLabel('Image', { exact: true }).getAttribute('aria-invalid')).toBe('true')
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Image', { exact: true }).fill('shop/web:')
  await waitFor(async () => (await page.locator('datalist option[value="shop/web:1.0.0"]').count()) === 1, {
    what: 'the tag to be suggested',
  })
  await page.getByLabel('Image', { exact: true }).fill('shop/web:1.0.0')
  await page.getByText('and so it stays').waitFor()
  await page.getByLabel('Environment').fill('MODE=shop')
  await page.getByLabel('Volumes').fill('data:/data')
  await make.click()

  await page.getByRole('heading', { name: 'shop/1.0.0', level: 1 }).waitFor()
  await page.getByText('80 → 8080/tcp').waitFor()
  await page.getByText('releases/shop/1.0.0/manifest.json').waitFor()
  await page.getByText('it was never rolled out').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('link', { name: /shop\/web sha256/ }).click()
  await page.getByRole('heading', { level: 1 }).waitFor()
  await page.getByText('Media type').first().waitFor()
  await page.goBack()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Edit notes' }).click()
  await page.getByRole('dialog').getByLabel('Notes').fill('The first of all.')
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await page.getByRole('region', { name: 'About' }).getByText('The first of all.').waitFor()
})

test('a channel and a group are made, and the group counts its devices', async () => {
  devices = await playDevices(dashboard, { names, labels: { site: 'berlin' } })
  const page = await dashboard.open('/channels')
  await page.getByRole('button', { name: 'Make channel' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('Not A Name')
  await dialog.getByRole('button', { name: 'Make channel' }).click()
  await waitFor(async () => (await dialog.getByLabel('Name').getAttribute('aria-invalid')) === 'true', {
    what: 'the name to be refused beside its field',
  })
  await dialog.getByLabel('Name').fill('stable')
  await dialog.getByRole('button', { name: 'Make channel' }).click()
  await page.getByRole('table', { name: 'Channels' }).getByText('nothing yet').waitFor()
  await page.getByRole('button', { name: 'Make group' }).click()
  await dialog.getByLabel('Name').fill('berlin')
  await dialog.getByLabel('Labels of its devices').fill('site=berlin')
  await dialog.getByLabel('Application channel').selectOption({ label: 'stable' })
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Make group' }).click()
  const groups = page.getByRole('table', { name: 'Device groups' })
  await groups.getByText('what stable carries').waitFor()
  await groups.getByRole('button', { name: '10 devices of berlin' }).click()
  await dialog.getByRole('link', { name: 'till-3' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  expect(dashboard.complaints.filter((text) => !/status of 40[04]/.test(text))).toEqual([])
})

test('a rollout is begun with a preview of its phases, and its picture moves as devices report', async () => {
  const page = await dashboard.open('/releases')
  await page.getByRole('link', { name: 'shop/1.0.0' }).click()
  await page.getByRole('link', { name: 'Roll out' }).click()
  await page.getByText('10 devices of the channel would be members.').waitFor()
  await page.getByLabel('Percent').first().fill('20')
  await page.getByText('Phase 1 · 2 devices').waitFor()
  await page.getByRole('button', { name: 'Remove phase 2' }).click()
  await page.getByText('Phase 2 · 8 devices').waitFor()
  await page.getByLabel('Needs approval').last().check()
  await page.getByLabel('Watches the release for').fill('0')
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Begin rollout' }).click()

  await page.getByRole('heading', { name: 'shop/1.0.0 to stable', level: 1 }).waitFor()
  const first = phase(page, 1)
  await first.getByText('2 waiting').waitFor()
  await beatAll(devices)
  await beatAll(devices, () => ({ state: 'downloading', downloadProgress: 40 }))
  await first.getByText('2 downloading').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await beatAll(devices, succeed)
  await first.getByText('2 succeeded').waitFor()
  await page.getByText('Phase 2 of 2 waits for approval.').waitFor()
  await confirmed(page, 'Approve')
  await phase(page, 2).getByText('8 waiting').waitFor()
  await beatAll(devices)
  await confirmed(page, 'Pause')
  await page.getByText('Paused: no further phase opens').waitFor()
  await confirmed(page, 'Resume')
  await beatAll(devices)
  await beatAll(devices, succeed)
  await page.getByText('10 of 10 devices have it.').waitFor()
  await page.getByRole('main').getByText('Succeeded', { exact: true }).first().waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('one that fails stops at its threshold, is looked into, retried, and aborted with the way back', async () => {
  const { id: channelId } = (await dashboard.client.channels.list()).items[0] ?? { id: '' }
  const image = 'shop/web:1.1.0'
  const release = await dashboard.client.releases.create({
    body: { data: { product: 'shop', version: '1.1.0', type: 'app', services: [{ name: 'web', image }] } },
  })
  const rollout = await dashboard.client.releaseRollouts.create({
    body: { data: { channelId, releaseId: release.id, phases: [{ percent: 40 }, {}], soakSeconds: 0 } },
  })
  const page = await dashboard.open(`/release-rollouts/${rollout.id}`)
  await phase(page, 1).getByText('4 waiting').waitFor()
  await beatAll(devices, succeed)
  const members = devices.filter(({ assignment }) => assignment?.app?.releaseId === release.id)
  expect(members).toHaveLength(4)
  await beatAll(members.slice(0, 1), fail)
  await page.getByText('1 of 4 devices failed in phase 1, more than 5 %').waitFor()
  await phase(page, 1).getByText('1 failed').waitFor()
  await phase(page, 2).getByText('to come').waitFor()
  await page.getByLabel('State of devices').selectOption('failed')
  const table = page.getByRole('table', { name: 'Devices of the rollout' })
  const failed = members[0]?.name ?? ''
  await table.getByText('Its container ended at once.').waitFor()
  expect(await table.getByRole('row').count()).toBe(2)
  expect(await faultsOf(page)).toEqual([])

  await page.goto(dashboard.freehold.url)
  const tiles = page.getByRole('list', { name: 'Devices and their rollouts' })
  await tiles.getByRole('link', { name: 'Devices 10' }).waitFor()
  await tiles.getByRole('link', { name: 'Open rollouts to devices 1 1 stopped' }).waitFor()
  const problems = page.getByRole('region', { name: 'Problems' })
  await problems.getByRole('link', { name: /stable rollout to devices/ }).waitFor()
  expect(await problems.getByText('freehold devices').count()).toBe(0)
  expect(await faultsOf(page)).toEqual([])
  await tiles.getByRole('link', { name: 'Failed an update 1' }).click()
  await page.getByRole('heading', { name: 'Devices', level: 1 }).waitFor()
  expect(await page.getByLabel('Attention').inputValue()).toBe('update-failed')
  const list = page.getByRole('table', { name: 'Devices' })
  await list.getByText('could not take 1.1.0').waitFor()
  expect(await list.getByRole('row').count()).toBe(2)
  await list.getByRole('link', { name: failed }).click()
  await page.getByRole('alert').getByText('Its container ended at once.').waitFor()
  await page.getByText('fatal: the database address is missing').waitFor()
  expect(await page.getByRole('region', { name: 'Last log lines' }).textContent()).toBe(log)
  expect(await faultsOf(page)).toEqual([])

  await page.goto(`${dashboard.freehold.url}/release-rollouts/${rollout.id}`)
  await confirmed(page, 'Retry')
  await phase(page, 1).getByText('4 waiting').waitFor()
  await beatAll(members)
  await beatAll(members, succeed)
  await phase(page, 2).getByText('6 waiting').waitFor()
  await beatAll(devices, succeed)
  await page.getByRole('button', { name: 'Abort' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel(/go back/).check()
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Abort rollout' }).click()
  await page.getByText('Aborted: every device goes back to what it had.').waitFor()
  await beatAll(devices)
  const versions = devices.map(({ assignment }) => assignment?.app?.version)
  expect(new Set(versions)).toEqual(new Set(['1.0.0']))
  await page.getByRole('navigation', { name: 'Breadcrumb' }).getByRole('link', { name: 'Rollouts' }).click()
  await page.getByRole('table', { name: 'Rollouts' }).getByText('Aborted').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('a device is pinned and asked to reboot, and what comes of it is said', async () => {
  const [till] = devices
  const page = await dashboard.open('/devices')
  await page.getByRole('link', { name: till?.name ?? '', exact: true }).click()
  await page.getByText('shall run').first().waitFor()
  await page.getByRole('button', { name: 'Pin releases' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Pinned application').selectOption({ label: 'shop/1.1.0' })
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Save' }).click()
  await page.getByText('pinned to this device').waitFor()
  await till?.beat()
  expect(till?.assignment?.app?.version).toBe('1.1.0')

  await page.getByRole('button', { name: 'Reboot' }).click()
  await dialog.getByLabel('Force').check()
  await dialog.getByRole('button', { name: 'Reboot' }).click()
  const asked = page.getByRole('region', { name: 'Asked of it' })
  await asked.getByText('It hears of it with its next heartbeat.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await till?.beat(() => ({ state: 'downloading', downloadProgress: 64 }))
  await till?.beat(() => ({ state: 'downloading', downloadProgress: 64 }))
  await asked.getByText('reboot was played').waitFor()
  await page.getByText('64 %').waitFor()
  expect(await page.getByText(/attempt/i).count()).toBe(0)
  expect(await faultsOf(page)).toEqual([])
})

test('a release that a channel carries is not withdrawn, and one that nothing needs is, and then deleted', async () => {
  const { items } = await dashboard.client.releases.list()
  const carried = items.find(({ data }) => data.version === '1.0.0')
  const page = await dashboard.open(`/releases/${carried?.id}`)
  await page.getByRole('region', { name: 'Who uses it' }).getByText('carries it').waitFor()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Withdraw' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Withdraw' }).click()
  await dialog.getByText(/shop 1\.0\.0 cannot be withdrawn/).waitFor()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  const image = 'shop/web:1.1.0'
  const release = await dashboard.client.releases.create({
    body: { data: { product: 'kiosk', version: '1.0.0', type: 'app', services: [{ name: 'web', image }] } },
  })
  await page.goto(`${dashboard.freehold.url}/releases/${release.id}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Withdraw' }).click()
  await dialog.getByRole('button', { name: 'Withdraw' }).click()
  await page.getByText('Withdrawn', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Delete release' }).click()
  await dialog.getByRole('button', { name: 'Delete release' }).click()
  await page.getByRole('heading', { name: 'Releases', level: 1 }).waitFor()
  await page.getByRole('link', { name: 'kiosk/1.0.0' }).waitFor({ state: 'detached' })
})

function phase(page: Page, number: number) {
  return page
    .getByRole('list', { name: 'Phases of the rollout' })
    .locator(':scope > li')
    .nth(number - 1)
}

/** Presses the button of an action, and the one of its question. */
async function confirmed(page: Page, action: string): Promise<void> {
  await page.getByRole('button', { name: action, exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: action, exact: true }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
}
