import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { labAdministrator, run, type TemporaryFolder, temporaryFolder } from '../../../../../test/system/lab/index.ts'
import { type Dashboard, faultsOf, startDashboard } from '../../dashboard.testing.ts'
import { pushImageTo } from '../devices/played-devices.testing.ts'

let dashboard: Dashboard
let folder: TemporaryFolder
beforeAll(async () => {
  dashboard = await startDashboard()
  folder = await temporaryFolder('signed-updates')
})
afterAll(async () => {
  await dashboard?.stop()
  await folder?.remove()
})

test('the command lines it shows do what they say: releases wait for a key elsewhere, and are signed with it', async () => {
  const page = await dashboard.open('/signed-updates')
  await page.getByText('Nothing needs you.').waitFor()
  await page.getByText('1 of 1 key must sign').first().waitFor()
  expect(await page.getByText('here', { exact: true }).count()).toBe(4)
  expect(await faultsOf(page)).toEqual([])
  await runLinesOf(page, 'Move the key of targets')
  await page.reload()
  await page.getByText('elsewhere', { exact: true }).waitFor()

  await pushImageTo(dashboard, { repository: 'shop/web', tag: '1.0.0' })
  const image = 'shop/web:1.0.0'
  await dashboard.client.releases.create({
    body: { data: { product: 'shop', version: '1.0.0', type: 'app', services: [{ name: 'web', image }] } },
  })
  const waiting = page.getByRole('region', { name: 'Releases that wait for a signature' })
  await waiting.getByRole('link', { name: 'shop/1.0.0' }).waitFor()
  await page.getByText(/New targets metadata wait for a signature/).waitFor()
  expect(await faultsOf(page)).toEqual([])
  await runLinesOf(page, 'Sign releases')
  await waiting.getByText('None.').waitFor()
  await page.getByText('Nothing needs you.').waitFor()
  expect(dashboard.complaints).toEqual([])
})

/** Types what stands under a label into a terminal, with files in a folder of the test and keys without a passphrase. */
async function runLinesOf(page: Page, label: string): Promise<void> {
  const text = await page.getByRole('region', { name: label, exact: true }).textContent()
  const { token } = await dashboard.client.auth.login({ body: labAdministrator() })
  for (const line of (text ?? '').split('\n')) {
    const [program, ...words] = line.split(' ').filter((word) => word !== '--passphrase')
    expect(program).toBe('freehold')
    const env = { ...process.env, FREEHOLD_URL: dashboard.freehold.url, FREEHOLD_TOKEN: token }
    await run([process.execPath, cli, ...words], { env, folder: folder.path })
  }
}

const cli = join(import.meta.dirname, '../../../../cli/src/main.ts')
