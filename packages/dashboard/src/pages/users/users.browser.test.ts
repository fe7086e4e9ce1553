import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

const password = 'a password for eve'

test('a user is created, and one that others create appears without a reload', async () => {
  const page = await dashboard.open('/users')
  const table = page.getByRole('table', { name: 'Users' })
  await table.getByText('admin').first().waitFor()
  await page.getByRole('button', { name: 'Create user' }).click()
  const dialog = page.getByRole('dialog', { name: 'Create user' })
  await dialog.getByLabel('User name').fill('eve')
  await dialog.getByLabel('Password').fill('short')
  await dialog.getByRole('button', { name: 'Create user' }).click()
  await dialog.getByText('at least 10 characters', { exact: true }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByLabel('Password').fill(password)
  await dialog.getByRole('button', { name: 'Create user' }).click()
  await table.getByText('eve').waitFor()
  await dashboard.client.users.create({ body: { data: { name: 'mallory', role: 'user', password } } })
  await table.getByText('mallory').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('a user sees neither users nor audit nor what they may not do', async () => {
  const page = await dashboard.open('/clusters', { signIn: false })
  await page.getByLabel('User name').fill('eve')
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('No clusters yet').waitFor()
  expect(await page.getByRole('button', { name: 'Create cluster' }).count()).toBe(0)
  const places = await page.getByRole('navigation', { name: 'Main' }).getByRole('link').allTextContents()
  expect(places).toEqual(['Overview', 'Services', 'Clusters', 'Devices', 'Builds', 'Images', 'Registries', 'Account'])
  await page.goto(`${dashboard.freehold.url}/users`)
  await page.getByText('Your role may not see users.').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('disabling a user ends their session, which their open page notices', async () => {
  const eve = await dashboard.open('/services', { signIn: false })
  await eve.getByLabel('User name').fill('eve')
  await eve.getByLabel('Password').fill(password)
  await eve.getByRole('button', { name: 'Sign in' }).click()
  await eve.getByRole('heading', { name: 'Services', level: 1 }).waitFor()
  const page = await dashboard.open('/users')
  await page.getByRole('button', { name: 'Actions for eve' }).click()
  await page.getByRole('menuitem', { name: 'Disable' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Disable user' }).click()
  await page.getByText('Disabled').waitFor()
  await eve.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
  expect(dashboard.complaints.filter((text) => !text.includes('status of 400'))).toEqual([])
})
