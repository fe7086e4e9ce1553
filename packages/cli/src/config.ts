import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { CliError, exitCodes } from './exit-codes.ts'

const contextSchema = z.strictObject({ url: z.url(), token: z.string() })
const configSchema = z.strictObject({
  /** The context used where none is named. */
  current: z.string(),
  contexts: z.record(z.string(), contextSchema),
})
export type Config = z.output<typeof configSchema>

const emptyConfig: Config = { current: 'default', contexts: {} }

/** Where the contexts are kept: XDG base directories, else ~/.config. */
export function configPath(environment: Record<string, string | undefined>): string {
  const base = environment.XDG_CONFIG_HOME
  const home = environment.HOME ?? homedir()
  return join(base === undefined || base === '' ? join(home, '.config') : base, 'freehold', 'config.json')
}

/** Reads the contexts; no file means none. A file that cannot be understood is named, never overwritten. */
export async function readConfig(path: string): Promise<Config> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyConfig
    throw new CliError(exitCodes.usage, `${path} cannot be read: ${(error as Error).message}`)
  }
  const parsed = configSchema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new CliError(exitCodes.usage, `${path} is not a configuration of freehold.`, 'Correct it or remove it.')
}

/** Writes the contexts readable by their owner alone, in one step: a crash leaves the old file or the new. */
export async function writeConfig(path: string, config: Config): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
  await chmod(temporary, 0o600)
  await rename(temporary, path)
}

export interface Target {
  url: string
  /** Null: not signed in. */
  token: string | null
}

/**
 * Which server is meant and as whom. FREEHOLD_URL and FREEHOLD_TOKEN come before the context; a stored token is
 * only ever sent to the server that gave it.
 */
export function chooseTarget(input: {
  config: Config
  contextName: string | undefined
  environment: Record<string, string | undefined>
}): Target {
  const { config, contextName, environment } = input
  const name = contextName ?? config.current
  const context = Object.hasOwn(config.contexts, name) ? config.contexts[name] : undefined
  if (contextName !== undefined && context === undefined) {
    const known = Object.keys(config.contexts).join(', ') || 'none'
    throw new CliError(
      exitCodes.usage,
      `There is no context "${contextName}" (known: ${known}).`,
      `\`freehold login URL --context ${contextName}\` makes it.`,
    )
  }
  const url = setting(environment, 'FREEHOLD_URL') ?? context?.url
  if (url === undefined) {
    throw new CliError(exitCodes.forbidden, 'No server is known yet.', 'Sign in with `freehold login URL`.')
  }
  const sameServer = context !== undefined && sameOrigin(context.url, url)
  const token = setting(environment, 'FREEHOLD_TOKEN') ?? (sameServer ? context.token : null)
  return { url: normalizeUrl(url), token }
}

/** The address as it is kept: http or https, without a trailing slash. */
export function normalizeUrl(text: string): string {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  const url = URL.parse(withScheme)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new CliError(
      exitCodes.usage,
      `"${text}" is no address of a server.`,
      'Write it as https://cloud.example.com.',
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw new CliError(
      exitCodes.usage,
      'The address holds a password.',
      'Leave it out and sign in with `freehold login`.',
    )
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

function sameOrigin(one: string, other: string): boolean {
  return normalizeUrl(one) === normalizeUrl(other)
}

function setting(environment: Record<string, string | undefined>, name: string): string | undefined {
  const value = environment[name]
  return value === undefined || value === '' ? undefined : value
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
