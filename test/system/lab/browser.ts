import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { findPart, requireParts } from './parts.ts'

export interface LabBrowser {
  /** A page with cookies and storage of its own. */
  newPage(options?: { width?: number; scheme?: 'light' | 'dark' }): Promise<Page>
  stop(): Promise<void>
}

/** Starts the system's Chromium; it is given nothing to fetch in the background. */
export async function startBrowser(): Promise<LabBrowser> {
  requireParts(['chromium'])
  const browser = await chromium.launch({
    executablePath: findPart('chromium') ?? '',
    headless: true,
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
  const contexts: BrowserContext[] = []
  return {
    async newPage({ width = 1280, scheme = 'light' } = {}) {
      const context = await browser.newContext({
        viewport: { width, height: width < 600 ? 844 : 800 },
        colorScheme: scheme,
        reducedMotion: 'reduce',
      })
      contexts.push(context)
      return context.newPage()
    },
    async stop() {
      for (const context of contexts) await context.close()
      await browser.close()
    },
  }
}

/** The four looks every page must hold: wide and narrow, light and dark. */
export const looks = [
  { width: 1280, scheme: 'light' },
  { width: 1280, scheme: 'dark' },
  { width: 390, scheme: 'light' },
  { width: 390, scheme: 'dark' },
] as const

/** Takes `<name>-<width>-<scheme>.png` in each of the looks into a folder and returns the files' paths. */
export async function screenshots(page: Page, options: { name: string; folder: string }): Promise<string[]> {
  await mkdir(options.folder, { recursive: true })
  const paths: string[] = []
  for (const { width, scheme } of looks) {
    const path = join(options.folder, `${options.name}-${width}-${scheme}.png`)
    await page.setViewportSize({ width, height: width < 600 ? 844 : 800 })
    await page.emulateMedia({ colorScheme: scheme })
    await page.screenshot({ path, fullPage: true })
    paths.push(path)
  }
  return paths
}

/** How many pixels the page is wider than its window; above 0 it scrolls sideways, which no page may. */
export function sidewaysOverflow(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
}
