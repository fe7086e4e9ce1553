import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard({ env: { SERVEZONE_ADMINACCOUNT: '' } })
})
afterAll(() => dashboard?.stop())

test('before the setup the sign-in page says where the link is', async () => {
  const page = await dashboard.open('/', { signIn: false })
  await page.getByText('There is no administrator yet.').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('the link that the first start prints makes the first administrator, once', async () => {
  const link = /http\S+\/setup\?token=\S+/.exec(dashboard.freehold.logs())?.[0]
  expect(link).toBeDefined()
  const { pathname, search } = new URL(link ?? '')
  const page = await dashboard.open(pathname + search, { signIn: false })
  await page.getByLabel('Password').fill('short')
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await page.getByText('at least 10 characters', { exact: true }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Password').fill('four words make one')
  await page.getByRole('button', { name: 'Create administrator' }).click()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  await page.getByRole('link', { name: 'Create cluster' }).waitFor()

  const again = await dashboard.open(pathname + search, { signIn: false })
  await again.getByRole('heading', { name: 'Freehold is set up' }).waitFor()
  expect(dashboard.complaints.filter((text) => !text.includes('status of 400'))).toEqual([])
})
