import { afterAll, beforeAll, expect, test } from 'vitest'
import { labAdministrator, pushSmallImage } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'
import { fillRegistry } from './images.testing.ts'

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

test('what was pushed is seen as it comes: tags, platforms, signatures, size, by whom, and what runs it', async () => {
  const page = await dashboard.open('/images')
  const table = page.getByRole('table', { name: 'Images' })
  await table.getByRole('link', { name: 'nginx' }).waitFor()
  const { image, index } = await fillRegistry(dashboard)
  const row = table.getByRole('row').filter({ hasText: 'team/app' })
  await row.filter({ hasText: 'by admin' }).filter({ hasText: 'web' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await row.getByRole('link', { name: 'team/app' }).click()

  const tags = page.getByRole('table', { name: 'Tags' })
  const two = tags.getByRole('row').filter({ hasText: '2.0.0' })
  for (const part of ['multi-platform', 'signed', 'SBOM', 'linux/amd64, linux/arm64', 'by admin']) {
    await two.filter({ hasText: part }).waitFor()
  }
  await tags.getByRole('row').filter({ hasText: '1.2.0' }).filter({ hasText: 'web' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Search tags').fill('1.1')
  await two.waitFor({ state: 'detached' })
  await tags.getByRole('link', { name: '1.1.0' }).waitFor()
  await page.getByLabel('Search tags').fill('nothing-like-it')
  await page.getByText('No tag fits.').waitFor()
  await page.getByLabel('Search tags').fill('')
  await two.getByRole('link', { name: '2.0.0' }).click()

  await page.getByText(index.digest, { exact: true }).waitFor()
  await page.getByRole('region', { name: 'Platforms' }).getByText('linux/arm64').waitFor()
  await page.getByRole('region', { name: 'Referrers' }).getByText('application/spdx+json').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('region', { name: 'Platforms' }).getByRole('link').first().click()
  const config = page.getByRole('region', { name: 'Config' })
  await config.getByText('PATH, SECRET_KEY').waitFor()
  await config.getByText('/usr/bin/app').waitFor()
  await page.getByRole('table', { name: 'Layers' }).getByText('3.0 MB').waitFor()
  expect(await page.getByText('not-shown').count()).toBe(0)
  await page.getByText('Part of').waitFor()
  expect(await faultsOf(page)).toEqual([])

  await page.goto(`${dashboard.freehold.url}/images/${image.id}?tab=manifests`)
  const manifests = page.getByRole('table', { name: 'Manifests' })
  await manifests.getByRole('row').filter({ hasText: 'signature' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('tab', { name: 'How to push' }).click()
  await page.getByText(/docker push .*team\/app:latest/).waitFor()
  expect(await faultsOf(page)).toEqual([])
  expect(dashboard.complaints).toEqual([])
})

test('a delete shows what goes with it, refuses what a service runs, and several tags go at once', async () => {
  const image = (await dashboard.client.images.list({ query: { search: 'team/app' } })).items[0]
  const page = await dashboard.open(`/images/${image?.id}`)
  const tags = page.getByRole('table', { name: 'Tags' })
  await tags.getByRole('button', { name: 'Actions for 1.2.0' }).click()
  await page.getByRole('menuitem', { name: 'Delete…' }).click()
  const refused = page.getByRole('dialog', { name: 'Delete team/app:1.2.0?' })
  await refused.getByText(/of the service web runs/).waitFor()
  expect(await refused.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(true)
  expect(await faultsOf(page)).toEqual([])
  await refused.getByRole('button', { name: 'Cancel' }).click()

  await tags.getByRole('button', { name: 'Actions for 2.0.0' }).click()
  await page.getByRole('menuitem', { name: 'Delete…' }).click()
  const dialog = page.getByRole('dialog', { name: 'Delete team/app:2.0.0?' })
  await dialog.getByText('Goes: 1 tag, 5 manifests').waitFor()
  await dialog.getByLabel('Also what nothing else needs then').uncheck()
  await dialog.getByText('Goes: 1 tag, 0 manifests').waitFor()
  await dialog.getByText('Stays: 1 manifest').waitFor()
  await dialog.getByLabel('Also what nothing else needs then').check()
  await dialog.getByText('Goes: 1 tag, 5 manifests').waitFor()
  await dialog.getByText(/Garbage collection then frees/).waitFor()
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await tags.getByRole('link', { name: '2.0.0' }).waitFor({ state: 'detached' })

  await tags.getByLabel('Select 1.0.0').check()
  await tags.getByLabel('Select 1.1.0').check()
  await page.getByRole('button', { name: 'Delete 2 tags' }).click()
  const several = page.getByRole('dialog', { name: 'Delete 2 versions of team/app?' })
  await several.getByText('Goes: 2 tags, 2 manifests').waitFor()
  await several.getByRole('button', { name: 'Delete' }).click()
  await tags.getByRole('link', { name: '1.0.0' }).waitFor({ state: 'detached' })
  const left = await dashboard.client.images.manifests({ params: { id: image?.id ?? '' } })
  expect(left.items.map((manifest) => manifest.tags)).toEqual([['1.2.0']])

  await page.goto(`${dashboard.freehold.url}/audit?kind=tag`)
  await page.getByText(/deleted the tag team\/app:2\.0\.0 \(sha256:/).waitFor()
  await page.getByText(/pushed team\/app:2\.0\.0 \(sha256:/).waitFor()
  expect(dashboard.complaints).toEqual([])
})

test('retention is tried before it is saved; quota and anonymous pull are set', async () => {
  const image = (await dashboard.client.images.list({ query: { search: 'team/app' } })).items[0]
  const target = {
    url: dashboard.freehold.url,
    ...labAdministrator(),
    repository: 'team/app',
  }
  for (const tag of ['3.0.0', '3.1.0']) await pushSmallImage(target, { tag, layers: [tag] })
  const page = await dashboard.open(`/images/${image?.id}?tab=policy`)
  await page.getByLabel('Which versions stay').selectOption('rules')
  await page.getByLabel('Keep the last tags').fill('1')
  await page.getByLabel('Most it may hold, GiB').fill('2')
  await page.getByLabel('Anybody may pull it without signing in').check()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Review and save' }).click()
  const dialog = page.getByRole('dialog', { name: 'Save these rules?' })
  await dialog.getByText(/1 tag and 0 manifests would go/).waitFor()
  await dialog.getByRole('listitem').filter({ hasText: '3.0.0' }).filter({ hasText: 'goes' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await dialog.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  await page.getByText('anybody', { exact: true }).waitFor()
  await page.getByText(/ of 2\.1 GB/).waitFor()
  const saved = await dashboard.client.images.get({ params: { id: image?.id ?? '' } })
  expect(saved.data).toMatchObject({ retention: { keepLastTags: 1 }, quotaBytes: 2 * 1024 ** 3, anonymousPull: true })
  const bad = page.getByLabel('Keep the last tags')
  await bad.fill('none')
  await page.getByRole('button', { name: 'Try these rules' }).click()
  await page.getByRole('dialog').getByRole('alert').waitFor()
  expect(dashboard.complaints.filter((complaint) => !/status of 400/.test(complaint))).toEqual([])
})
