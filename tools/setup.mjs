/**
 * Makes a clone ready and then runs a command on the pinned Node: `node tools/setup.mjs [--dashboard] [--run COMMAND …]`.
 * Plain JavaScript without dependencies, because it runs before anything is installed, on any Node from 20 on.
 * Quiet when nothing is to do. Words for people go to the error stream, so that the command's output stays its own.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const bin = join(modules, '.bin')
const oldestNode = 20

main(process.argv.slice(2))

function main(argv) {
  const runAt = argv.indexOf('--run')
  const options = runAt < 0 ? argv : argv.slice(0, runAt)
  requireNode()
  install()
  requirePinnedNode()
  if (options.includes('--dashboard')) buildDashboard()
  if (runAt >= 0) runOnPinnedNode(argv.slice(runAt + 1))
}

function requireNode() {
  if (Number(process.versions.node.split('.')[0]) >= oldestNode) return
  fail(`Node ${process.versions.node} is too old to install Freehold: install Node ${oldestNode} or newer with npm.`)
}

/**
 * Installs what the lock file says, unless a stamp or npm's own record says that it is there. Not by `npm ci`: that
 * refuses a lock file written where the registry lacks optional packages for other platforms, and we have such.
 */
function install() {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const stamp = join(modules, '.freehold-setup')
  const wanted = sha256(lock)
  if (read(stamp) === wanted) return
  if (!isInstalled(JSON.parse(lock))) {
    const startedAt = Date.now()
    say('Installing packages (npm install) …')
    runNpm(['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'])
    say(`Packages installed in ${seconds(startedAt)} s.`)
  }
  write(stamp, wanted)
}

/**
 * True where npm's record of node_modules holds every package of the lock file in the version it names, also those that
 * one workspace alone has because others have another version.
 */
function isInstalled(lock) {
  const record = read(join(modules, '.package-lock.json'))
  if (record === undefined) return false
  const installed = JSON.parse(record).packages
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (!path.includes('node_modules/')) return true
    const present = installed[path]
    if (present === undefined) return wanted.optional === true
    return present.version === wanted.version && present.integrity === wanted.integrity && existsSync(join(root, path))
  })
}

/**
 * The pinned Node arrives by an install script of the package `node`, which npm may have been told not to run; and it
 * needs libraries that a small Debian lacks.
 */
function requirePinnedNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).devDependencies.node
  let present = askPinnedNode()
  if (present.missingLibrary !== undefined) {
    installLibrary(present.missingLibrary)
    present = askPinnedNode()
  }
  if (present.version === wanted) return
  say(`Fetching Node ${wanted} (npm rebuild node) …`)
  runNpm(['rebuild', 'node', '--ignore-scripts=false'])
  present = askPinnedNode()
  if (present.version === wanted) return
  fail(
    `Freehold runs on Node ${wanted}, but ${join(bin, 'node')} ${present.version === undefined ? 'does not run' : `is Node ${present.version}`}. ` +
      'npm probably blocked its install script: run `npm rebuild node --ignore-scripts=false`, or delete node_modules and try again.',
  )
}

function askPinnedNode() {
  const result = spawnSync(join(bin, 'node'), ['--version'], { encoding: 'utf8' })
  if (result.status === 0) return { version: result.stdout.trim().slice(1) }
  return { missingLibrary: /loading shared libraries: ([^:\s]+)/.exec(result.stderr ?? '')?.[1] }
}

/** Installs a library that the pinned Node needs, where this can be done; else says how. */
function installLibrary(library) {
  const name = { 'libatomic.so.1': 'libatomic1', 'libstdc++.so.6': 'libstdc++6', 'libgcc_s.so.1': 'libgcc-s1' }[library]
  const line = name === undefined ? `install ${library}` : `apt-get install -y ${name}`
  if (name !== undefined && process.getuid?.() === 0) {
    say(`The pinned Node needs ${library} (${line}) …`)
    const install = () =>
      spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], { stdio: 'ignore' })
    if (install().status === 0) return
    spawnSync('apt-get', ['update', '-qq'], { stdio: 'ignore' })
    if (install().status === 0) return
  }
  // Left in place, the broken link would be the `node` of the next `npm start`, which then could not say this again.
  rmSync(join(bin, 'node'), { force: true })
  fail(`The pinned Node needs the library ${library}, which this machine lacks. As root: ${line}. Then try again.`)
}

/** Builds the dashboard if anything it is made from has changed since the last build. */
function buildDashboard() {
  const dashboard = join(root, 'packages/dashboard')
  if (!existsSync(join(dashboard, 'index.html'))) return
  const stamp = join(dashboard, 'dist/.built-from')
  const wanted = hashOf([dashboard, join(root, 'packages/client/src'), join(root, 'packages/contracts/src')])
  if (read(stamp) === wanted) return
  const startedAt = Date.now()
  say('Building the dashboard …')
  const result = spawnSync(join(bin, 'node'), [join(bin, 'vite'), 'build', '--logLevel', 'warn'], {
    cwd: dashboard,
    env: environment(),
    stdio: ['ignore', 2, 2],
  })
  if (result.status !== 0) fail('The dashboard could not be built; the lines above say why.')
  write(stamp, wanted)
  say(`Dashboard built in ${seconds(startedAt)} s.`)
}

/** One hash over names and contents of all files in the folders, and over the versions of what builds them. */
function hashOf(folders) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')))
  for (const path of folders.flatMap((folder) => filesOf(folder))) hash.update(path).update(readFileSync(path))
  return hash.digest('hex')
}

function filesOf(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== 'dist' && entry.name !== 'node_modules' && !/\.test\.tsx?$/.test(entry.name))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      return entry.isDirectory() ? filesOf(path) : [path]
    })
}

/** Runs the command with the pinned Node first in the search path, and is to the outside as if it were that command. */
function runOnPinnedNode([command, ...args]) {
  if (command === undefined) fail('Nothing follows --run.')
  const local = join(bin, command)
  const child = spawn(existsSync(local) ? local : command, args, { stdio: 'inherit', env: environment() })
  // A terminal's Ctrl-C reaches the command by itself; every other signal comes to this process alone.
  process.on('SIGINT', () => (process.stdin.isTTY ? undefined : child.kill('SIGINT')))
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${command} could not be started: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function environment() {
  return { ...process.env, PATH: [bin, process.env.PATH ?? ''].join(delimiter) }
}

/** Runs the npm that started this, else the one in the search path; a failure is told in words that help. */
function runNpm(args) {
  const { npm_execpath: npm, npm_node_execpath: node } = process.env
  const [command, first] = npm === undefined ? ['npm', []] : [node ?? process.execPath, [npm]]
  const result = spawnSync(command, [...first, ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  })
  if (result.error?.code === 'ENOENT') fail('npm is missing: install npm beside Node, then run this again.')
  if (result.status === 0) return
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}`
  const lines = output.trimEnd().split('\n')
  process.stderr.write(`${lines.slice(0, 10).concat(lines.slice(10).slice(-15)).join('\n')}\n`)
  fail(`npm ${args[0]} failed. ${adviceFor(output)}`)
}

function adviceFor(output) {
  if (/ENOSPC/.test(output)) return 'The disk is full: free some space (about 1 GB is needed) and try again.'
  if (/EACCES|EPERM|EROFS/.test(output))
    return `This user may not write in ${root}: change the owner or copy the clone.`
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ECONNRESET|ENOTCACHED/.test(output)) {
    return 'The package registry cannot be reached: check the network and the proxy settings of npm, then try again.'
  }
  return 'The lines above are the end of what npm said.'
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  }
}

function write(path, text) {
  try {
    writeFileSync(path, text)
  } catch (error) {
    fail(`${path} cannot be written. ${adviceFor(error.code)}`)
  }
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex')
}

function seconds(startedAt) {
  return ((Date.now() - startedAt) / 1000).toFixed(1)
}

function say(line) {
  process.stderr.write(`${line}\n`)
}

function fail(line) {
  say(line)
  process.exit(1)
}
