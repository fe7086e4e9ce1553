import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('a cluster is created, and a bad name is said beside its field', async () => {
  const page = await dashboard.open('/clusters')
  await page.getByText('No clusters yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Create cluster' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create cluster' })
  await dialog.getByLabel('Name').fill('Not A Name')
  await dialog.getByRole('button', { name: 'Create cluster' }).click()
  await dialog.getByText('lower-case letters, digits and -, at most 40', { exact: false }).first().waitFor()
  expect(await dialog.getByLabel('Name').getAttribute('aria-invalid')).toBe('true')
  await dialog.getByLabel('Name').fill('north')
  await dialog.getByRole('button', { name: 'Create cluster' }).click()
  await page.getByRole('heading', { name: 'north', level: 1 }).waitFor()
  await page.getByText('No nodes yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('adding a node shows the command once; Esc closes and the open code is listed until it is withdrawn', async () => {
  const { items } = await dashboard.client.clusters.list()
  const page = await dashboard.open(`/clusters/${items[0]?.id}`)
  await page.getByRole('button', { name: 'Add a node' }).first().click()
  await page.getByRole('button', { name: 'Make JUMPCODE' }).click()
  const made = page.getByRole('dialog', { name: 'Run this on the machine' })
  await made.waitFor()
  const code = await made.getByRole('region', { name: 'JUMPCODE' }).textContent()
  expect(await made.getByRole('region', { name: 'Join command' }).textContent()).toContain(code)
  expect(await faultsOf(page)).toEqual([])
  await page.keyboard.press('Escape')
  await made.waitFor({ state: 'detached' })
  const open = page.getByRole('table', { name: 'Open JUMPCODES' })
  await open.getByRole('button', { name: /^Withdraw/ }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Withdraw' }).click()
  await open.waitFor({ state: 'detached' })
})

test('a node whose agent was revoked says how to get it back', async () => {
  const { client } = dashboard
  const clusterId = (await client.clusters.list()).items[0]?.id ?? ''
  const { jumpCode } = await client.enrolments.create({ body: { data: { clusterId } } })
  const publicKey = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
  await client.agents.enrol({ body: { jumpCode, publicKey, name: 'machine-one', swarmNodeId: null } })
  const page = await dashboard.open(`/clusters/${clusterId}`)
  const help = page.getByText('delete it here, then enrol the machine again with a new JUMPCODE')
  await page.getByRole('button', { name: 'Actions for machine-one' }).click()
  expect(await help.count()).toBe(0)
  await page.getByRole('menuitem', { name: 'Revoke agent' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke agent' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('table', { name: 'Nodes' }).getByText('To get it back').waitFor()
  expect(await help.count()).toBe(1)
  expect(await faultsOf(page)).toEqual([])
})

test('a cluster that someone else makes or deletes appears and goes without a reload', async () => {
  const page = await dashboard.open('/clusters')
  await page.getByRole('link', { name: 'north' }).waitFor()
  const made = await dashboard.client.clusters.create({ body: { data: { name: 'south' } } })
  await page.getByRole('link', { name: 'south' }).waitFor()
  await page.getByRole('link', { name: 'south' }).click()
  await page.getByRole('heading', { name: 'south', level: 1 }).waitFor()
  await dashboard.client.clusters.delete({ params: { id: made.id } })
  await page.getByText('This cluster does not exist, or was deleted.').waitFor()
  expect(dashboard.complaints.filter((text) => !text.includes('status of 400'))).toEqual([])
})
