import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
})
afterAll(() => dashboard?.stop())

test('an image of another registry is added, and shows which services use it as they come', async () => {
  const page = await dashboard.open('/images')
  await page.getByText('No images yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Add image' }).click()
  const dialog = page.getByRole('dialog', { name: 'Add image' })
  await dialog.getByLabel('Image', { exact: true }).fill('docker.io/library/nginx')
  await dialog.getByLabel('Name').fill('nginx')
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Add image' }).click()
  await page.getByRole('heading', { name: 'nginx', level: 1 }).waitFor()
  await page.getByText('No service uses it.').waitFor()
  const imageId = page.url().split('/').at(-1) ?? ''
  const cluster = await dashboard.client.clusters.create({ body: { data: { name: 'north' } } })
  await dashboard.client.services.create({
    body: { data: { name: 'proxy', clusterId: cluster.id, imageId, imageVersion: '1.29' } },
  })
  await page.getByRole('link', { name: /proxy/ }).waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('the list follows what others do and can be searched', async () => {
  const page = await dashboard.open('/images')
  const table = page.getByRole('table', { name: 'Images' })
  await table.getByRole('link', { name: 'nginx' }).waitFor()
  await dashboard.client.images.create({ body: { data: { name: 'team/base' } } })
  await table.getByRole('link', { name: 'team/base' }).waitFor()
  await page.getByLabel('Search images').fill('team')
  await table.getByRole('link', { name: 'nginx' }).waitFor({ state: 'detached' })
  await table.getByRole('link', { name: 'team/base' }).click()
  await page.getByText('Nothing has been pushed yet.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  expect(dashboard.complaints).toEqual([])
})
