import { type Identity, routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { type Config, normalizeUrl, readConfig, writeConfig } from '../config.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { readSecretLine } from '../io.ts'
import { type Environment, handle, type Runtime } from '../runtime.ts'

const defaultUrl = 'http://localhost:8080'

interface LoginOptions {
  username?: string
  passwordStdin?: boolean
  tokenStdin?: boolean
}

/** Adds `login`, `logout`, `whoami` and `contexts`. */
export function addSignIn(program: Command, environment: Environment): void {
  addLogin(program, environment)
  addLogout(program, environment)
  addWhoami(program, environment)
  addContexts(program, environment)
}

function addLogin(program: Command, environment: Environment): void {
  const command = program
    .command('login')
    .description(
      'Sign in to a server and remember it as a context (see --context); asks for what is missing on a terminal.',
    )
    .argument('[url]', `address of the server (default: the context's, FREEHOLD_URL, or ${defaultUrl})`)
    .option('--username <name>', 'user to sign in as')
    .option('--password-stdin', 'read the password from the first line of standard input')
    .option('--token-stdin', 'read a machine token from the first line of standard input instead')
  handle<LoginOptions>(command, environment, async ({ operands, options, runtime }) => {
    const config = await readConfig(runtime.configPath)
    const name = runtime.options.context ?? config.current
    const stored = Object.hasOwn(config.contexts, name) ? config.contexts[name]?.url : undefined
    const url = normalizeUrl(operands[0] ?? (runtime.io.environment.FREEHOLD_URL || stored || defaultUrl))
    const signedIn =
      options.tokenStdin === true ? await useToken(runtime, url) : await usePassword(runtime, url, options)
    await writeConfig(runtime.configPath, {
      current: name,
      contexts: { ...config.contexts, [name]: { url, token: signedIn.token } },
    })
    const { identity } = signedIn
    if (runtime.output.json) runtime.output.document({ context: name, url, identity })
    else runtime.output.line(`Signed in to ${url} as ${identity.name} (${identity.role}), context ${name}.`)
    if (!runtime.output.json) runtime.output.note('→ `freehold status` shows how everything stands.')
    return undefined
  })
}

interface SignedIn {
  identity: Identity
  token: string
}

async function useToken(runtime: Runtime, url: string): Promise<SignedIn> {
  const token = (await readSecretLine(runtime.io)).trim()
  if (token === '') throw new CliError(exitCodes.usage, 'Standard input holds no token.', 'Pipe the token in.')
  return { token, identity: await runtime.connect({ url, token }).call(routes.auth.identity) }
}

async function usePassword(runtime: Runtime, url: string, options: LoginOptions): Promise<SignedIn> {
  const api = runtime.connect({ url, token: null })
  const { needed } = await api.call(routes.auth.setupState)
  if (needed) {
    const action = 'Open the setup link that its first start printed, then sign in.'
    throw new CliError(exitCodes.forbidden, `${url} has no administrator yet.`, action)
  }
  const { prompts } = runtime.io
  const username = options.username ?? (await prompts?.text('User name'))
  if (username === undefined) throw needsTerminal('Who signs in is not said.')
  if (options.passwordStdin !== true && prompts === null) throw needsTerminal('There is no password.')
  const password =
    options.passwordStdin === true ? await readSecretLine(runtime.io) : await prompts?.password('Password')
  return api.call(routes.auth.login, { body: { username, password: password ?? '' } })
}

function needsTerminal(sentence: string): CliError {
  return new CliError(
    exitCodes.usage,
    sentence,
    'Without a terminal: --username NAME --password-stdin, or --token-stdin.',
  )
}

function addLogout(program: Command, environment: Environment): void {
  const command = program.command('logout').description('End the session and forget its context.')
  handle(command, environment, async ({ runtime }) => {
    const config = await readConfig(runtime.configPath)
    const name = runtime.options.context ?? config.current
    const context = Object.hasOwn(config.contexts, name) ? config.contexts[name] : undefined
    if (context === undefined)
      throw new CliError(exitCodes.forbidden, `Context ${name} is not signed in.`, 'Nothing is left to do.')
    const ended = await endSession(runtime, context)
    await writeConfig(runtime.configPath, withoutContext(config, name))
    if (runtime.output.json) runtime.output.document({ context: name, url: context.url, sessionEnded: ended })
    else runtime.output.line(`Signed out of ${context.url}.`)
    return undefined
  })
}

/** The context is forgotten in any case; what the server could not be told is said. */
async function endSession(runtime: Runtime, context: { url: string; token: string }): Promise<boolean> {
  try {
    await runtime.connect(context).call(routes.auth.logout)
    return true
  } catch (error) {
    runtime.signal.throwIfAborted()
    runtime.output.note(`The server did not end the session: ${(error as Error).message}`)
    return false
  }
}

/** No other context takes its place: the next command must not reach a server nobody named. */
function withoutContext(config: Config, name: string): Config {
  const contexts = Object.fromEntries(Object.entries(config.contexts).filter(([each]) => each !== name))
  return { ...config, contexts }
}

function addWhoami(program: Command, environment: Environment): void {
  const command = program.command('whoami').description('Show who is signed in, and where.')
  handle(command, environment, async ({ runtime }) => {
    const { url } = await runtime.target()
    const identity = await (await runtime.api()).call(routes.auth.identity)
    if (runtime.output.json) runtime.output.document({ url, ...identity })
    else runtime.output.line(`${identity.name} (${identity.role}) at ${url}`)
    return undefined
  })
}

function addContexts(program: Command, environment: Environment): void {
  const contexts = program
    .command('contexts')
    .alias('context')
    .summary('servers signed in to')
    .description('Servers signed in to.')
  handle(
    contexts.command('list').alias('ls').description('List them; * is used where none is named.'),
    environment,
    async ({ runtime }) => {
      const config = await readConfig(runtime.configPath)
      const rows = Object.entries(config.contexts).map(([name, { url }]) => ({
        name,
        url,
        current: name === config.current,
      }))
      if (runtime.output.json) runtime.output.document(rows)
      else if (rows.length === 0) runtime.output.note('There are no contexts. `freehold login URL` makes one.')
      else
        runtime.output.table({
          columns: ['', 'NAME', 'URL'],
          rows: rows.map(({ name, url, current }) => [current ? '*' : '', name, url]),
        })
      return undefined
    },
  )
  const use = contexts.command('use').description('Use this one from now on.').argument('<context>', 'its name')
  handle(use, environment, async ({ operands, runtime }) => {
    const config = await readConfig(runtime.configPath)
    const name = String(operands[0])
    if (!Object.hasOwn(config.contexts, name)) {
      throw new CliError(
        exitCodes.notFound,
        `There is no context "${name}".`,
        '`freehold contexts list` shows those there are.',
      )
    }
    await writeConfig(runtime.configPath, { ...config, current: name })
    if (runtime.output.json) runtime.output.document({ current: name })
    else runtime.output.line(`Using ${name}.`)
    return undefined
  })
}
