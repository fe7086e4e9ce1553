import { existsSync } from 'node:fs'
import { type Client, createClient } from '@freehold/client'
import type { Page } from 'playwright-core'
import {
  type Freehold,
  labAdministrator,
  sidewaysOverflow,
  startBrowser,
  startFreehold,
} from '../../../test/system/lab/index.ts'

export interface Dashboard {
  freehold: Freehold
  /** The API, as the administrator. */
  client: Client
  /** What pages complained of so far: errors, refused by the content security policy, requests to elsewhere. */
  complaints: string[]
  /** A page at an address, signed in unless told otherwise. */
  open(path: string, options?: { signIn?: boolean; width?: number }): Promise<Page>
  stop(): Promise<void>
}

/** Starts a real control plane without a cluster, and a real browser to look at its dashboard with. */
export async function startDashboard(options: { env?: NodeJS.ProcessEnv } = {}): Promise<Dashboard> {
  if (!existsSync(new URL('../dist/index.html', import.meta.url))) {
    throw new Error('The dashboard has not been built. Run `npm run build -w packages/dashboard` first.')
  }
  const freehold = await startFreehold(options)
  const browser = await startBrowser().catch(async (error) => {
    await freehold.stop()
    throw error
  })
  const complaints: string[] = []
  const hasAdministrator = options.env === undefined
  const client = hasAdministrator ? await clientOf(freehold.url) : createClient({ url: freehold.url })
  return {
    freehold,
    client,
    complaints,
    async open(path, { signIn = true, width = 1280 } = {}) {
      const page = await browser.newPage({ width })
      await listen(page, freehold.url, complaints)
      await page.goto(freehold.url + path)
      if (signIn) await signInOn(page)
      return page
    },
    async stop() {
      await browser.stop()
      await freehold.stop()
    },
  }
}

/** Fills the sign-in form as the administrator. */
export async function signInOn(page: Page): Promise<void> {
  const { username, password } = labAdministrator()
  await page.getByLabel('User name').fill(username)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('navigation', { name: 'Main' }).waitFor()
}

/**
 * What every page must hold, as a list of faults: one main landmark and one first heading, a name for everything one
 * can operate, and no sideways scrolling at 390 pixels.
 */
export async function faultsOf(page: Page): Promise<string[]> {
  const faults: string[] = []
  const count = async (selector: string) => page.locator(selector).count()
  if ((await count('main')) !== 1) faults.push('not exactly one main landmark')
  if ((await count('h1')) !== 1) faults.push('not exactly one h1')
  if ((await page.title()) === '') faults.push('no title')
  for (const role of ['button', 'link', 'textbox', 'combobox', 'checkbox', 'spinbutton', 'table', 'tab'] as const) {
    const all = await page.getByRole(role).count()
    const named = await page.getByRole(role, { name: /\S/ }).count()
    if (all !== named) faults.push(`${all - named} of ${all} of role ${role} have no name`)
  }
  const size = page.viewportSize()
  await page.setViewportSize({ width: 390, height: 844 })
  const overflow = await sidewaysOverflow(page)
  if (overflow > 0) faults.push(`${overflow} px too wide at 390`)
  if (size !== null) await page.setViewportSize(size)
  return faults
}

async function clientOf(url: string): Promise<Client> {
  const { token } = await createClient({ url }).auth.login({ body: labAdministrator() })
  return createClient({ url, token })
}

/** "Who am I?" answers 401 to whoever is not signed in, which a browser writes to its console: that is no fault. */
const expected = /status of 401/

/** Runs in the page: what its policy refuses is written to the console, wherever the browser itself would be silent. */
const reportViolations = `document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
  console.error('refused by ' + violatedDirective + ': ' + blockedURI))`

async function listen(page: Page, url: string, complaints: string[]): Promise<void> {
  await page.addInitScript(reportViolations)
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    const text = message.text()
    if (message.type() === 'error' && !expected.test(text)) complaints.push(text)
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:'))
      complaints.push(`request to ${request.url()}`)
  })
}
