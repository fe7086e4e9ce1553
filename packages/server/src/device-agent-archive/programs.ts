import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { inheritedEnvironment } from '../child-program/index.ts'

const fetchLimitMs = 15 * 60_000
const unpackLimitMs = 5 * 60_000
const keptCharacters = 2_000

/**
 * Has npm fetch a package into an empty folder, from where the user's own configuration of npm says. The npm that started
 * us, else the one on the search path.
 */
export async function fetchPackage(
  spec: string,
  options: { into: string; installation: string; signal: AbortSignal },
): Promise<void> {
  const { npm_execpath: script, npm_node_execpath: node } = process.env
  const npm = script === undefined ? ['npm'] : [node ?? process.execPath, script]
  const args = ['pack', spec, '--pack-destination', options.into, '--ignore-scripts', '--loglevel=error', '--silent']
  const ofNpm = Object.keys(process.env).filter((name) => /^npm_config_/i.test(name))
  await runToEnd([...npm, ...args], {
    folder: options.installation,
    environment: inheritedEnvironment([
      ...ofNpm,
      'HTTP_PROXY',
      'HTTPS_PROXY',
      'NO_PROXY',
      'http_proxy',
      'https_proxy',
      'no_proxy',
    ]),
    limitMs: fetchLimitMs,
    signal: options.signal,
  })
}

/** Unpacks one file of a `.tgz` into a folder and answers its path. */
export async function unpackFile(
  archive: string,
  { member, into, signal }: { member: string; into: string; signal: AbortSignal },
): Promise<string> {
  await runToEnd(['tar', '-x', '-z', '--no-same-owner', '-f', archive, '-C', into, member], {
    folder: into,
    environment: inheritedEnvironment([]),
    limitMs: unpackLimitMs,
    signal,
  })
  return join(into, member)
}

/** Runs a program without input; throws with the end of what it said unless it exits with 0. */
async function runToEnd(
  [program = '', ...args]: readonly string[],
  options: { folder: string; environment: Record<string, string>; limitMs: number; signal: AbortSignal },
): Promise<void> {
  const limit = AbortSignal.timeout(options.limitMs)
  const child = spawn(program, args, {
    cwd: options.folder,
    env: options.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: AbortSignal.any([options.signal, limit]),
    killSignal: 'SIGKILL',
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      said = (said + text).slice(-keptCharacters)
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(limit.aborted ? new Error(`${program} took too long`) : error))
    child.once('close', resolve)
  })
  if (code === 0) return
  const lines = said.trim().split('\n').slice(0, 3).join(' ').slice(0, 400)
  throw new Error(`${program} ended with ${code}${lines === '' ? '' : `: ${lines}`}`)
}
