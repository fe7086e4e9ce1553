import { createClient } from '@freehold/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { labAdministrator } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('a token is shown once, works, and is refused after it was revoked', async () => {
  const page = await dashboard.open('/account')
  await page.getByText('No tokens yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Create token' }).click()
  await page.getByRole('dialog').getByLabel('Name').fill('ci')
  await page.getByRole('dialog').getByRole('button', { name: 'Create token' }).click()
  const shown = page.getByRole('dialog', { name: 'Copy the token now' })
  const token = (await shown.getByRole('region', { name: 'Token' }).textContent()) ?? ''
  expect(await faultsOf(page)).toEqual([])
  await shown.getByRole('button', { name: 'I have it' }).click()
  expect(await page.content()).not.toContain(token)
  const machine = createClient({ url: dashboard.freehold.url, token })
  expect((await machine.auth.identity()).role).toBe('api')
  await page.getByRole('button', { name: 'Revoke ci' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke token' }).click()
  await page.getByText('No tokens yet').waitFor()
  await expect(machine.auth.identity()).rejects.toMatchObject({ status: 401 })
})

test('the password is changed with the present one, and a wrong one is said', async () => {
  const { username, password } = labAdministrator()
  const page = await dashboard.open('/account')
  await page.getByLabel('Current password').fill('not the password')
  await page.getByLabel('New password').fill('another good password')
  await page.getByRole('button', { name: 'Change password' }).click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Current password').fill(password)
  await page.getByRole('button', { name: 'Change password' }).click()
  await page.getByText('Changed.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  const login = createClient({ url: dashboard.freehold.url }).auth.login
  expect((await login({ body: { username, password: 'another good password' } })).identity.name).toBe(username)
  expect(dashboard.complaints).toEqual([])
})
