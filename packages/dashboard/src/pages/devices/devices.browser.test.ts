import { deviceHeartbeatPath, deviceRegisterPath } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

async function post(path: string, body: object, bearer: string): Promise<{ nodeToken: string }> {
  const response = await fetch(`${dashboard.freehold.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    body: JSON.stringify(body),
  })
  return (await response.json()) as { nodeToken: string }
}

const status = (hostname: string) => ({
  hostname,
  agentVersion: '0.1.0',
  machine: {
    architecture: 'arm64',
    operatingSystem: 'balenaOS 6.1.24',
    load: 0.4,
    memoryBytes: 100,
    memoryFreeBytes: 40,
  },
  supervisor: { state: 'available', version: '19.0.5' },
  apps: { release: '0123456789abcdef', containers: [{ serviceName: 'main', status: 'Running' }] },
})

test('a device enrols with a join token made here, appears by itself, and is looked at, renamed and revoked', async () => {
  const page = await dashboard.open('/devices')
  await page.getByText('No devices yet').waitFor()
  await page.getByRole('link', { name: 'Make a join token' }).click()
  await page.getByRole('button', { name: 'Make join token' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('shop')
  await dialog.getByLabel('For how many devices').fill('5')
  await dialog.getByLabel('Labels of its devices').fill('site=berlin')
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Make join token' }).click()
  const configuration = await dialog.getByText('BASEOS_JOIN_TOKEN').textContent()
  const joinToken = /BASEOS_JOIN_TOKEN=(\S+)/.exec(configuration ?? '')?.[1] ?? ''
  expect(configuration).toContain(`BASEOS_CLOUDLY_URL=${dashboard.freehold.url}`)
  await dialog.getByRole('button', { name: 'Done' }).click()
  await page.getByRole('table', { name: 'Join tokens' }).getByText('Open').waitFor()

  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Devices' }).click()
  const body = { nodeId: 'till-1', deviceSecret: 'secret-of-till-1', status: status('till-1') }
  const { nodeToken } = await post(deviceRegisterPath, body, joinToken)
  await post(deviceHeartbeatPath, { nodeId: 'till-1', status: status('till-1') }, nodeToken)
  await page.getByRole('link', { name: 'till-1' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('link', { name: 'till-1' }).click()
  await page.getByRole('heading', { name: 'till-1', level: 1 }).waitFor()
  await page.getByText('balenaOS 6.1.24').waitFor()
  await page.getByRole('region', { name: 'Containers' }).getByText('Running').waitFor()
  await page.getByText('Last heard').waitFor()
  expect(await faultsOf(page)).toEqual([])

  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Rename and label' }).click()
  await page.getByRole('dialog').getByLabel('Name').fill('Till by the door')
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await page.getByRole('heading', { name: 'Till by the door', level: 1 }).waitFor()

  await post(deviceRegisterPath, { ...body, deviceSecret: 'another-secret' }, joinToken)
  await page.getByText('without proving to be it').waitFor()
  await page.getByRole('button', { name: 'Seen' }).click()
  await page.getByText('without proving to be it').waitFor({ state: 'detached' })

  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Revoke' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click()
  await page.getByText('Shut out by an operator.').waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('a join token is revoked, and deleted, where the list has it', async () => {
  const { resource } = await dashboard.client.joinTokens.create({ body: { data: { name: 'left-over' } } })
  const page = await dashboard.open('/join-tokens')
  const row = page.getByRole('row', { name: /left-over/ })
  const choose = async (action: string) => {
    await page.getByRole('button', { name: 'More actions of left-over' }).click()
    await page.getByRole('menuitem', { name: action }).click()
    await page.getByRole('dialog').getByRole('button', { name: action }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  }
  await choose('Revoke')
  await row.getByText('Revoked').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'More actions of left-over' }).click()
  expect(await page.getByRole('menuitem').allTextContents()).toEqual(['Delete'])
  await page.keyboard.press('Escape')
  await choose('Delete')
  await row.waitFor({ state: 'detached' })
  await expect(dashboard.client.joinTokens.get({ params: { id: resource.id } })).rejects.toThrow('no join-token')
  expect(dashboard.complaints).toEqual([])
})

test('a device that waits is found and approved', async () => {
  await dashboard.client.settings.update({ body: { baseosApproval: 'manual' } })
  const { joinToken } = await dashboard.client.joinTokens.create({ body: { data: { name: 'waiting', uses: 1 } } })
  await post(deviceRegisterPath, { nodeId: 'till-2', deviceSecret: 'secret-of-till-2' }, joinToken)
  const page = await dashboard.open('/devices')
  await page.getByLabel('Attention').selectOption('approve')
  await page.getByRole('link', { name: 'till-2' }).click()
  await page.getByRole('button', { name: 'Approve' }).click()
  await page.getByText('Approved; it gets its token').waitFor()
  expect(await faultsOf(page)).toEqual([])
  expect(dashboard.complaints).toEqual([])
})

test('devices of one name are told apart, what a device calls itself turns no line around, and a strange filter is none', async () => {
  await dashboard.client.settings.update({ body: { baseosApproval: 'automatic' } })
  const { joinToken } = await dashboard.client.joinTokens.create({ body: { data: { name: 'twins', uses: 3 } } })
  for (const nodeId of ['twin-1', 'twin-2']) {
    await post(deviceRegisterPath, { nodeId, deviceSecret: `secret-of-${nodeId}`, status: status('twin') }, joinToken)
  }
  const turned = { nodeId: 'turned', deviceSecret: 'secret-of-turned', status: status('photo\u202egpj.exe') }
  await post(deviceRegisterPath, turned, joinToken)
  const { items } = await dashboard.client.devices.list({ query: { search: 'twin' } })
  expect(items).toHaveLength(2)
  const page = await dashboard.open('/devices?attention=nonsense&state=nonsense')
  const table = page.getByRole('table', { name: 'Devices' })
  for (const { id } of items) await table.getByText(id.slice(-8)).waitFor()
  await table.getByRole('link', { name: 'photo gpj.exe' }).waitFor()
  expect(await page.getByRole('main').textContent()).not.toMatch(/\p{Bidi_C}/u)
  expect(await faultsOf(page)).toEqual([])
  await table
    .getByRole('row')
    .filter({ hasText: items[1]?.id.slice(-8) ?? '' })
    .getByRole('link')
    .click()
  await page
    .getByRole('region', { name: 'About' })
    .getByText(items[1]?.id ?? '')
    .waitFor()
  expect(dashboard.complaints).toEqual([])
})
