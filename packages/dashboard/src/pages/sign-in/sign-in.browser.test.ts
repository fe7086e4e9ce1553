import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, signInOn, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('whoever is not signed in is sent to sign in, and then where they wanted to go', async () => {
  const page = await dashboard.open('/services?state=failed', { signIn: false })
  await page.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await signInOn(page)
  await page.getByRole('heading', { name: 'Services', level: 1 }).waitFor()
  expect(new URL(page.url()).search).toBe('?state=failed')
  expect(dashboard.complaints).toEqual([])
})

test('a wrong password is said, with what to do', async () => {
  const page = await dashboard.open('/sign-in', { signIn: false })
  await page.getByLabel('User name').fill('admin')
  await page.getByLabel('Password').fill('not the password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  const alert = page.getByRole('alert')
  await alert.waitFor()
  expect(await alert.textContent()).toContain('Check both and try again.')
})

test('signing out ends the session on the server too', async () => {
  const page = await dashboard.open('/')
  await page.getByRole('button', { name: 'Signed in as admin' }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
  await page.goto(`${dashboard.freehold.url}/users`)
  await page.getByRole('heading', { name: 'Sign in', level: 1 }).waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('the chosen theme holds over a reload, and nothing of it needs an inline script', async () => {
  const page = await dashboard.open('/')
  await page.getByRole('button', { name: 'Signed in as admin' }).click()
  await page.getByRole('menuitemradio', { name: 'dark' }).click()
  await page.reload()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
  expect(dashboard.complaints).toEqual([])
})
