import { generateKeyPairSync } from 'node:crypto'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'

let dashboard: Dashboard
beforeAll(async () => {
  dashboard = await startDashboard()
  await dashboard.client.clusters.create({ body: { data: { name: 'north' } } })
})
afterAll(() => dashboard?.stop())

async function serviceId(name: string): Promise<string> {
  const { items } = await dashboard.client.services.list({ query: { search: name } })
  return items.find(({ data }) => data.name === name)?.id ?? ''
}

test('a service is created and its page shows how to push to it', async () => {
  const page = await dashboard.open('/services')
  await page.getByText('No services yet').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('link', { name: 'Create service' }).first().click()
  await page.getByLabel('Name').fill('Bad Name')
  await page.getByRole('button', { name: 'Create service' }).click()
  await page.getByText('lower-case letters, digits and -, at most 40', { exact: false }).first().waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Name').fill('web')
  await page.getByLabel('Published port').fill('18080')
  await page.getByText('http://<node>:18080').waitFor()
  await page.getByRole('button', { name: 'Create service' }).click()
  expect(await page.getByLabel('Web port').evaluate((field) => field.matches(':invalid'))).toBe(true)
  await page.getByLabel('Web port').fill('8080')
  await page.getByRole('button', { name: 'Create service' }).click()
  await page.getByRole('heading', { name: 'web', level: 1 }).waitFor()
  await page.getByText('Waiting for image').waitFor()
  const { data } = await dashboard.client.services.get({ params: { id: await serviceId('web') } })
  expect(data.ports).toEqual({ web: 8080, published: [{ target: 8080, published: 18080, protocol: 'tcp' }] })
  const { target } = await dashboard.client.services.registryTarget({ params: { id: await serviceId('web') } })
  const commands = page.getByRole('region', { name: 'Push commands' })
  await commands.waitFor()
  expect(await commands.textContent()).toContain(`docker push ${target}`)
  expect(await faultsOf(page)).toEqual([])
})

test('a fault of the published port is said beside its field, and one that is taken names who has it', async () => {
  const page = await dashboard.open('/services/new')
  await page.getByLabel('Name').fill('other')
  await page.getByLabel('Web port').fill('80')
  const published = page.getByLabel('Published port')
  await published.evaluate((field) => field.removeAttribute('max'))
  await published.fill('70000')
  await page.getByRole('button', { name: 'Create service' }).click()
  await page.getByRole('alert').waitFor()
  expect(await published.getAttribute('aria-invalid')).toBe('true')
  expect(await faultsOf(page)).toEqual([])
  await published.fill('18080')
  await page.getByRole('button', { name: 'Create service' }).click()
  await page.getByText('published by the service web already').waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('settings send only what was changed, and a change from elsewhere appears without a reload', async () => {
  const id = await serviceId('web')
  const page = await dashboard.open(`/services/${id}?tab=settings`)
  await page.getByLabel('Replicas').fill('3')
  await page.getByRole('button', { name: 'Add variable' }).click()
  await page.getByLabel('Variable name').fill('LOG_LEVEL')
  await page.getByLabel('Value of LOG_LEVEL').fill('debug')
  await dashboard.client.services.update({ params: { id }, body: { data: { description: 'Changed elsewhere' } } })
  await page.getByText('Someone else has changed this service').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  const { data } = await dashboard.client.services.get({ params: { id } })
  expect(data).toMatchObject({
    scaleFactor: 3,
    environment: { LOG_LEVEL: 'debug' },
    description: 'Changed elsewhere',
    ports: { web: 8080 },
  })
  await page.getByRole('tab', { name: 'Overview' }).click()
  await page.getByText('Changed elsewhere').waitFor()
  await dashboard.client.services.update({ params: { id }, body: { data: { imageVersion: 'v7' } } })
  await page.getByText('v7', { exact: true }).waitFor()
})

test('a key that is none is said beside its field, and one that is given is shown on the overview', async () => {
  const id = await serviceId('web')
  const page = await dashboard.open(`/services/${id}?tab=settings`)
  const field = page.getByLabel('Signed by')
  await field.fill('ssh-ed25519 AAAA')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('a public key in PEM').first().waitFor()
  expect(await field.getAttribute('aria-invalid')).toBe('true')
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await field.fill(publicKey.export({ type: 'spki', format: 'pem' }).toString())
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('tab', { name: 'Overview' }).click()
  await page.getByText('signed by one key').waitFor()
  await dashboard.client.services.update({ params: { id }, body: { data: { admission: null } } })
  await page.getByText('any image').waitFor()
})

test('without an agent the logs say why there are none', async () => {
  const page = await dashboard.open(`/services/${await serviceId('web')}?tab=logs`)
  await page.getByRole('alert').waitFor()
  await page.getByRole('button', { name: 'Follow again' }).waitFor()
  expect(await faultsOf(page)).toEqual([])
})

test('the list is searched with /, filtered, and follows what others do', async () => {
  const clusterId = (await dashboard.client.clusters.list()).items[0]?.id ?? ''
  const page = await dashboard.open('/services')
  const table = page.getByRole('table', { name: 'Services' })
  await table.getByRole('link', { name: 'web', exact: true }).waitFor()
  await dashboard.client.services.create({ body: { data: { name: 'worker', clusterId } } })
  await table.getByRole('link', { name: 'worker' }).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('work')
  await table.getByRole('link', { name: 'web', exact: true }).waitFor({ state: 'detached' })
  expect(await table.getByRole('link', { name: 'worker' }).count()).toBe(1)
  expect(await faultsOf(page)).toEqual([])
})

test('revisions are listed newest first once there is something to run, and one can be gone back to', async () => {
  const clusterId = (await dashboard.client.clusters.list()).items[0]?.id ?? ''
  const image = await dashboard.client.images.create({
    body: { data: { name: 'nginx', location: { internal: false, externalImage: 'docker.io/library/nginx' } } },
  })
  const { id } = await dashboard.client.services.create({
    body: { data: { name: 'proxy', clusterId, imageId: image.id, imageVersion: '1.28' } },
  })
  const page = await dashboard.open(`/services/${id}?tab=revisions`)
  const table = page.getByRole('table', { name: 'Revisions' })
  await table.getByText('1.28').waitFor()
  await dashboard.client.services.update({ params: { id }, body: { data: { imageVersion: '1.29' } } })
  await table.getByText('1.29').waitFor()
  expect(await table.getByRole('row').nth(1).textContent()).toContain('1.29')
  await page.getByRole('button', { name: 'Roll back to revision 1' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click()
  await page.getByText('someone went back to it').waitFor()
  expect(await faultsOf(page)).toEqual([])
  const { items } = await dashboard.client.rollouts.list({ query: { serviceId: id } })
  expect(items.at(-1)?.data).toMatchObject({ trigger: 'rollback', revisionNumber: 1 })
  await page.getByRole('button', { name: 'Abort' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Abort and go back' }).click()
  await page.getByRole('button', { name: 'Abort', exact: true }).waitFor({ state: 'detached' })
  const rollout = await dashboard.client.rollouts.get({ params: { id: items.at(-1)?.id ?? '' } })
  expect(rollout.data.abortRequested).toBe(true)
})

test('a running service is a link away, and more replicas than a published port allows are said before saving', async () => {
  const { client } = dashboard
  const clusterId = (await client.clusters.list()).items[0]?.id ?? ''
  const imageId = (await client.images.list({ query: { search: 'nginx' } })).items[0]?.id ?? ''
  const { id } = await client.services.create({
    body: {
      data: { name: 'shop', clusterId, imageId, ports: { web: 80, published: [{ target: 80, published: 18_081 }] } },
    },
  })
  const page = await dashboard.open('/services')
  await runsOnOneMachine(page, { clusterId, serviceId: id })
  await page.goto(`${dashboard.freehold.url}/services/${id}`)
  const link = page.getByRole('link', { name: '192.0.2.7:18081' })
  await link.waitFor()
  expect(await link.getAttribute('href')).toBe('http://192.0.2.7:18081/')
  expect(await link.getAttribute('target')).toBe('_blank')
  expect(await link.getAttribute('rel')).toBe('noreferrer')
  expect(await faultsOf(page)).toEqual([])
  await page.getByRole('tab', { name: 'Settings' }).click()
  await page.getByLabel('Replicas').fill('1')
  const warning = page.getByText('A published port allows one replica per node')
  expect(await warning.count()).toBe(0)
  await page.getByLabel('Replicas').fill('3')
  await warning.waitFor()
  expect(await warning.textContent()).toContain('so only one of 3 replicas will run')
  expect(await faultsOf(page)).toEqual([])
  await page.getByLabel('Where it runs').selectOption('all-nodes')
  await warning.waitFor({ state: 'detached' })
  expect((await client.services.get({ params: { id } })).data.scaleFactor).toBe(1)
})

test('a service is deleted only after its name has been typed', async () => {
  const page = await dashboard.open(`/services/${await serviceId('worker')}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Delete service' }).click()
  const dialog = page.getByRole('dialog', { name: 'Delete worker?' })
  expect(await dialog.getByRole('button', { name: 'Delete service' }).isDisabled()).toBe(true)
  await dialog.getByLabel('Type worker to confirm').fill('worker')
  await dialog.getByRole('button', { name: 'Delete service' }).click()
  await page.getByRole('heading', { name: 'Services', level: 1 }).waitFor()
  await page.getByRole('link', { name: 'worker' }).waitFor({ state: 'detached' })
  expect(dashboard.complaints.filter((text) => !/status of (400|409|503)/.test(text))).toEqual([])
})

/** Lets a page see what an agent would report: the cluster is one machine, and a container of the service runs on it. */
async function runsOnOneMachine(page: Page, ids: { clusterId: string; serviceId: string }): Promise<void> {
  const { client } = dashboard
  const { serviceId, clusterId } = ids
  const revisionId = (await client.revisions.list({ query: { serviceId } })).items[0]?.id ?? ''
  const service = await client.services.get({ params: { id: serviceId } })
  const cluster = await client.clusters.get({ params: { id: clusterId } })
  const machine = { swarmNodeId: 'machine', hostname: 'one', role: 'manager', state: 'ready', availability: 'active' }
  const task = {
    ...{ taskId: 'task', revisionId, swarmNodeId: 'machine', nodeName: 'one', slot: 1, state: 'running' },
    ...{ desiredState: 'running', message: '', exitCode: null, health: 'passing', healthMessage: '' },
    ...{ since: service.updatedAt, logTail: [] },
  }
  const status = {
    ...service.status,
    ...{ state: 'running', message: 'Revision 1 serves with 1 healthy container.' },
    ...{ currentRevisionId: revisionId, currentRevisionNumber: 1, rolloutId: null, tasks: [task] },
    replicas: { wanted: 1, running: 1, healthy: 1 },
  }
  const node = {
    id: 'node',
    data: { clusterId, name: 'one' },
    status: { swarmNodeId: 'machine', address: '192.0.2.7' },
  }
  const answers = {
    [`services/${serviceId}`]: { ...service, status },
    [`clusters/${clusterId}`]: {
      ...cluster,
      status: { ...cluster.status, swarmNodes: [{ ...machine, leader: true }] },
    },
    'nodes?*': { items: [node], nextCursor: null, version: 1 },
  }
  for (const [path, json] of Object.entries(answers)) {
    await page.route(`**/api/v1/${path}`, (route) => route.fulfill({ json }))
  }
}
