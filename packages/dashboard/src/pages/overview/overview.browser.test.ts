import { afterAll, beforeAll, expect, test } from 'vitest'
import { labAdministrator } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('the overview says what comes next, and follows what happens elsewhere without a reload', async () => {
  const page = await dashboard.open('/')
  const next = page.getByRole('region', { name: 'What to do next' })
  await next.getByText('Create a cluster', { exact: true }).waitFor()
  const cluster = await dashboard.client.clusters.create({ body: { data: { name: 'north' } } })
  await next.getByText('Add a node', { exact: true }).waitFor()
  await next.getByText('Create a service', { exact: true }).waitFor()
  await dashboard.client.services.create({ body: { data: { name: 'web', clusterId: cluster.id } } })
  await next.getByText('Push an image for web').waitFor()
  await page.getByRole('list', { name: 'How much there is' }).getByRole('link', { name: 'Services 1' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  expect(dashboard.complaints).toEqual([])
})

test('keyboard: the first stop skips to the content, and every place is a link', async () => {
  const page = await dashboard.open('/')
  await page.keyboard.press('Tab')
  const focused = page.locator(':focus')
  expect(await focused.textContent()).toBe('Skip to content')
  await page.keyboard.press('Enter')
  expect(await page.locator(':focus').getAttribute('id')).toBe('main')
  const places = page.getByRole('navigation', { name: 'Main' }).getByRole('link')
  expect(await places.allTextContents()).toEqual([
    'Overview',
    'Services',
    'Clusters',
    'Devices',
    'Builds',
    'Images',
    'Registries',
    'Users',
    'Audit log',
    'Account',
  ])
})

test('on a narrow screen the places are behind a button, and Esc closes them', async () => {
  const page = await dashboard.open('/account', { signIn: false, width: 390 })
  await page.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
  const { username, password } = labAdministrator()
  await page.getByLabel('User name').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  const open = page.getByRole('button', { name: 'Open navigation' })
  await open.click()
  const places = page.getByRole('dialog').getByRole('navigation', { name: 'Main' })
  await places.waitFor()
  await page.keyboard.press('Escape')
  await places.waitFor({ state: 'detached' })
  await open.click()
  await places.getByRole('link', { name: 'Services' }).click()
  await page.getByRole('heading', { name: 'Services', level: 1 }).waitFor()
  await places.waitFor({ state: 'detached' })
})

test('a page that was left gives its connection back, and catches up when it is shown again', async () => {
  const page = await dashboard.open('/clusters')
  await page.getByRole('link', { name: 'north' }).waitFor()
  const given = page.waitForEvent('requestfailed', (request) => request.url().includes('/api/v1/changes'))
  await page.evaluate('window.dispatchEvent(new Event("pagehide"))')
  await given
  await dashboard.client.clusters.create({ body: { data: { name: 'west' } } })
  await page.evaluate('window.dispatchEvent(new Event("pageshow"))')
  await page.getByRole('link', { name: 'west' }).waitFor()
  await dashboard.client.clusters.create({ body: { data: { name: 'east' } } })
  await page.getByRole('link', { name: 'east' }).waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('a lost connection is said, and what was missed is there when it returns', async () => {
  const page = await dashboard.open('/clusters')
  await page.getByRole('link', { name: 'north' }).waitFor()
  await dashboard.freehold.kill9()
  await page.getByText('Connection lost, retrying.').waitFor()
  await dashboard.freehold.restart()
  await dashboard.client.clusters.create({ body: { data: { name: 'south' } } })
  await page.getByRole('link', { name: 'south' }).waitFor()
  await page.getByText('Connection lost, retrying.').waitFor({ state: 'detached' })
})
