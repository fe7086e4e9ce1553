import { afterAll, beforeAll, expect, test } from 'vitest'
import { labAdministrator } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('a registry is added and tested at once, edited, kept while images name it, and deleted', async () => {
  const page = await dashboard.open('/external-registries')
  await page.getByText('No registries yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Add registry' }).click()
  const dialog = page.getByRole('dialog', { name: 'Add registry' })
  await dialog.getByLabel('Name', { exact: true }).fill('upstream')
  await dialog.getByLabel('Address').fill('https://registry.example/a/path')
  await dialog.getByLabel('User name').fill('admin')
  await dialog.getByLabel('Password or token').fill('not the right one')
  await dialog.getByRole('button', { name: 'Add registry' }).click()
  await dialog.getByText(/^a container registry stands at the root/).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByLabel('Address').fill(dashboard.freehold.url)
  await dialog.getByRole('button', { name: 'Add registry' }).click()
  const table = page.getByRole('table', { name: 'Registries' })
  await table.getByText('does not accept the user name or the password').waitFor()
  await table.getByText('Failing').waitFor()

  await page.getByRole('button', { name: 'Actions for upstream' }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  const editing = page.getByRole('dialog', { name: 'Edit upstream' })
  expect(await editing.getByLabel('Password or token').inputValue()).toBe('')
  await editing.getByLabel('Password or token').fill(labAdministrator().password)
  await editing.getByRole('button', { name: 'Save' }).click()
  await table.getByText('Working').waitFor()
  await page.getByRole('button', { name: 'Actions for upstream' }).click()
  await page.getByRole('menuitem', { name: 'Test now' }).click()
  await table.getByText(/Signed in to .* as admin/).waitFor()
  expect(await faultsOf(page)).toEqual([])

  const [registry] = (await dashboard.client.externalRegistries.list({})).items
  const location = { internal: true, mirrorOf: { externalRegistryId: registry?.id ?? '', repository: 'a' } } as const
  const image = await dashboard.client.images.create({ body: { data: { name: 'mirror/a', location } } })
  const remove = async () => {
    await page.getByRole('button', { name: 'Actions for upstream' }).click()
    await page.getByRole('menuitem', { name: 'Delete registry' }).click()
    const sure = page.getByRole('dialog', { name: 'Delete upstream?' })
    await sure.getByRole('textbox').fill('upstream')
    await sure.getByRole('button', { name: 'Delete registry' }).click()
    return sure
  }
  const refused = await remove()
  await refused.getByText('used by the image mirror/a').waitFor()
  await refused.getByRole('button', { name: 'Cancel' }).click()
  await dashboard.client.images.delete({ params: { id: image.id } })
  await remove()
  await page.getByText('No registries yet').waitFor()
  expect(dashboard.complaints.filter((text) => !/status of (400|409)/.test(text))).toEqual([])
})
