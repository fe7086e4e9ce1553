import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Dashboard, faultsOf, startDashboard } from '../dashboard.testing.ts'

let dashboard: Dashboard
let page: Page
beforeAll(async () => {
  dashboard = await startDashboard()
  page = await dashboard.open('/')
})
afterAll(() => dashboard?.stop())

const unknown = '019a0000-0000-7000-8000-000000000000'

test.each([
  ['/clusters', 'cluster'],
  ['/services', 'service'],
  ['/images', 'image'],
  ['/devices', 'device'],
  ['/builds', 'build'],
  ['/releases', 'release'],
  ['/release-rollouts', 'rollout'],
])('%s/… of what is gone, or no id at all, says that there is none', async (path, what) => {
  for (const id of [unknown, 'nope']) {
    await page.goto(`${dashboard.freehold.url}${path}/${id}`)
    await page.getByText(`This ${what} does not exist, or was deleted.`).waitFor()
    expect(await faultsOf(page)).toEqual([])
  }
  await page.getByRole('link', { name: 'Back to the list' }).click()
  await page.waitForURL(`**${path}`)
  // Of what is gone the server says so, which browsers write to the console; of what is no id it is never asked.
  expect(dashboard.complaints.splice(0).filter((text) => !/status of 404/.test(text))).toEqual([])
})
