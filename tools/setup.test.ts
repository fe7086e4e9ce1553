import { spawn } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const pinned = join(root, 'node_modules/.bin/node')
const folders: string[] = []
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

test('in a ready clone it is quiet, and the command gets its arguments and the pinned Node', async () => {
  const result = await start(await readyClone(), [
    '--run',
    'node',
    '-p',
    'process.version + process.argv[1]',
    'argument',
  ]).ended
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  expect(result).toEqual({ code: 0, output: `v${manifest.devDependencies.node}argument\n`, errors: '' })
})

test('it ends as the command ended', async () => {
  expect((await start(await readyClone(), ['--run', 'node', '-e', 'process.exit(7)']).ended).code).toBe(7)
})

test('TERM reaches the command, which may end in its own way', async () => {
  const program = "process.on('SIGTERM', () => process.exit(42)); setInterval(() => {}, 1000); console.log('ready')"
  const running = start(await readyClone(), ['--run', 'node', '-e', program])
  await running.firstOutput
  running.signal('SIGTERM')
  expect((await running.ended).code).toBe(42)
})

test('a Node that is too old is told so', async () => {
  const pretend = "data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '18.19.0' } })"
  const result = await start(await emptyClone(), [], { nodeArguments: ['--import', pretend] }).ended
  expect(result.code).toBe(1)
  expect(result.errors).toContain('Node 18.19.0 is too old')
})

test('without the registry it says so, and leaves no stamp behind', async () => {
  const clone = await emptyClone()
  const result = await start(clone, [], {
    env: offline(clone),
  }).ended
  expect(result.code).toBe(1)
  expect(result.errors).toContain('The package registry cannot be reached')
  expect(await readdir(join(clone, 'node_modules')).catch(() => [])).not.toContain('.freehold-setup')
})

test.each([
  ['a newer one', 'node_modules/left'],
  ['one that a workspace alone has', 'packages/inner/node_modules/left'],
])('packages that npm has placed already are not installed again, and %s is looked for', async (_, path) => {
  const clone = await readyClone()
  expect(await start(clone, []).ended).toEqual({ code: 0, output: '', errors: '' })
  expect(await readdir(join(clone, 'node_modules'))).toContain('.freehold-setup')
  const lock = JSON.parse(await readFile(join(clone, 'package-lock.json'), 'utf8'))
  lock.packages[path] = { ...lock.packages['node_modules/left'], version: '1.0.1' }
  await writeFile(join(clone, 'package-lock.json'), JSON.stringify(lock))
  expect((await start(clone, [], { env: offline(clone) }).ended).errors).toContain('Installing packages')
})

test('a pinned Node that lacks a library is told with its name, and is not left as the node of the next try', async () => {
  const clone = await readyClone()
  const node = join(clone, 'node_modules/.bin/node')
  await rm(node)
  await writeFile(
    node,
    '#!/bin/sh\necho "node: error while loading shared libraries: libnowhere.so.7: no" >&2\nexit 127\n',
  )
  await chmod(node, 0o755)
  const result = await start(clone, []).ended
  expect(result.code).toBe(1)
  expect(result.errors).toContain('libnowhere.so.7')
  expect(await readdir(join(clone, 'node_modules/.bin'))).not.toContain('node')
})

function offline(clone: string): NodeJS.ProcessEnv {
  return {
    npm_config_registry: 'http://127.0.0.1:1/',
    npm_config_fetch_retries: '0',
    npm_config_cache: join(clone, 'cache'),
  }
}

/** A clone whose one package and pinned Node are in place, as npm would leave them. */
async function readyClone(): Promise<string> {
  const clone = await emptyClone()
  await mkdir(join(clone, 'node_modules/.bin'), { recursive: true })
  await mkdir(join(clone, 'node_modules/left'))
  await cp(join(clone, 'package-lock.json'), join(clone, 'node_modules/.package-lock.json'))
  await symlink(await realpath(pinned), join(clone, 'node_modules/.bin/node'))
  return clone
}

/** A clone that needs one package and has none. */
async function emptyClone(): Promise<string> {
  const clone = await mkdtemp(join(tmpdir(), 'freehold-setup-'))
  folders.push(clone)
  const { devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  const manifest = { name: 'clone', version: '1.0.0', dependencies: { left: '1.0.0' } }
  await mkdir(join(clone, 'tools'))
  await cp(join(root, 'tools/setup.mjs'), join(clone, 'tools/setup.mjs'))
  await writeFile(
    join(clone, 'package.json'),
    JSON.stringify({ ...manifest, devDependencies: { node: devDependencies.node } }),
  )
  await writeFile(
    join(clone, 'package-lock.json'),
    JSON.stringify({
      name: 'clone',
      lockfileVersion: 3,
      packages: { '': manifest, 'node_modules/left': { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` } },
    }),
  )
  return clone
}

function start(
  folder: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; nodeArguments?: readonly string[] } = {},
) {
  const { npm_execpath: _, ...env } = process.env
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), join(folder, 'tools/setup.mjs'), ...args], {
    cwd: folder,
    env: { ...env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  return {
    firstOutput: new Promise((resolve) => child.stdout.once('data', resolve)),
    ended: new Promise<{ code: number | null; output: string; errors: string }>((resolve) =>
      child.on('close', (code) => resolve({ code, output, errors })),
    ),
    signal: (signal: NodeJS.Signals) => void child.kill(signal),
  }
}
