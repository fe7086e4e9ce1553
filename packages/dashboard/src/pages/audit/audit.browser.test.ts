import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('the log shows who changed what, as it happens, with what it was before', async () => {
  const page = await dashboard.open('/audit')
  const log = page.getByRole('list', { name: 'Audit log' })
  await log.waitFor()
  const cluster = await dashboard.client.clusters.create({ body: { data: { name: 'north' } } })
  await log.getByText('created').first().waitFor()
  await log.getByText('north').first().waitFor()
  const body = { data: { description: 'Up there' } }
  await dashboard.client.clusters.update({ params: { id: cluster.id }, body })
  const entry = log.getByRole('listitem').filter({ hasText: 'changed' }).first()
  await entry.locator('summary').click()
  await entry.getByText('data.description:').waitFor()
  expect(await entry.textContent()).toContain('"" → "Up there"')
  expect(await faultsOf(page)).toEqual([])
  await entry.getByRole('link', { name: 'Only this cluster' }).click()
  await page.getByRole('link', { name: 'Show all, not only one' }).waitFor()
  await log.getByText('north').nth(1).waitFor()
  expect(await log.getByText('session').count()).toBe(0)
  expect(dashboard.complaints).toEqual([])
})

test('the list can be narrowed to one kind', async () => {
  const page = await dashboard.open('/audit')
  const log = page.getByRole('list', { name: 'Audit log' })
  await log.getByText('session').first().waitFor()
  await page.getByLabel('Kind').selectOption('cluster')
  await log.getByText('session').first().waitFor({ state: 'detached' })
  await log.getByText('north').first().waitFor()
  expect(await faultsOf(page)).toEqual([])
})
