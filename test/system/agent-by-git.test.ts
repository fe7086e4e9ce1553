import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { planOfGit } from '../../packages/build-worker/src/worker.testing.ts'
import { runProgram } from '../../tools/base-images.ts'
import { requireIsolation, requireParts, startProgram, type TemporaryFolder, temporaryFolder } from './lab/index.ts'

/**
 * The device agent by git, as COREBUILD_AGENT_INSTALL=git has it: the script of the image runs in a root of its own with
 * the system's curl and git, over TLS, against servers of the names that it dials. Played are only apt-get, and Deno and the
 * checkout, which are not to be had here.
 */
const names = ['code.foss.global', 'deno.land']
/** An address that nobody else listens at. */
const address = '127.77.0.1'
const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

let folder: TemporaryFolder
let root = ''
let projects = ''
let server: Server
let requests: string[] = []
let isAway = false
const { installScript = '', units, files } = planOfGit()

const playedNode = '/var/lib/played-node'

/** Takes Deno's place as far as the unit needs it. Told to answer by itself, the real installer asks yet another server. */
const denoInstaller = `#!/bin/sh
set -e
[ $# -eq 0 ] && [ -n "$CI" ] || exit 9
command -v unzip >/dev/null || echo "unzip is for apt-get to bring"
mkdir -p "$DENO_INSTALL/bin"
cat >"$DENO_INSTALL/bin/deno" <<'END'
#!/bin/sh
[ "$1" = run ] || exit 9
shift
while [ "\${1#--}" != "$1" ]; do shift; done
exec ${playedNode} "$@"
END
chmod 755 "$DENO_INSTALL/bin/deno"
`

const agent = (release: string) => `import { writeFileSync } from 'node:fs'
const { argv, env } = process
const told = { release: '${release}', command: argv.at(-1), url: env.BASEOS_CLOUDLY_URL, token: env.BASEOS_JOIN_TOKEN }
writeFileSync(env.BASEOS_STATE_PATH ?? '', JSON.stringify(told))
`

beforeAll(async () => {
  requireIsolation()
  requireParts(['git', 'curl', 'openssl'])
  folder = await temporaryFolder('agent-by-git')
  const key = join(folder.path, 'key.pem')
  const certificate = join(folder.path, 'certificate.pem')
  await runProgram([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=played', '-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`],
    ...['-keyout', key, '-out', certificate],
  ])
  projects = join(folder.path, 'projects')
  await publish('one', 'old.ts')
  server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (request, response) => {
    requests.push(`${request.method} ${request.headers.host}${request.url}`)
    answer(request, response).catch(() => response.destroy())
  })
  server.listen(443, address)
  await once(server, 'listening')
  root = await makeRoot(certificate)
})
afterAll(async () => {
  server?.closeAllConnections()
  server?.close()
  if (root !== '') await runProgram(['umount', '--recursive', join(folder.path, 'layers')])
  await folder?.remove()
})

test('brings Deno and the checkout, and the unit starts it with what the image says', async () => {
  expect(await install()).toMatchObject({ code: 0 })
  expect(requests.slice(0, 2)).toEqual([
    'GET deno.land/install.sh',
    'GET code.foss.global/serve.zone/baseos.git/info/refs?service=git-upload-pack',
  ])
  expect(await readFile(join(root, 'apt-calls'), 'utf8')).toBe(
    'update\ninstall -y --no-install-recommends ca-certificates curl git unzip\n',
  )
  const count = await runProgram(['git', '-C', join(root, 'opt/baseos'), 'rev-list', '--count', 'HEAD'])
  expect(count.trim()).toBe('1')
  await expect(readFile(join(root, 'root/deno-install.sh'))).rejects.toThrow('ENOENT')
  expect(await startUnit()).toEqual({
    release: 'one',
    command: 'start',
    url: 'https://cloud.example.com',
    token: 'one-time-token',
  })
})

test('brings what the branch holds by then when it runs again, and Deno is kept', async () => {
  await publish('two', 'new.ts')
  requests = []
  expect(await install()).toMatchObject({ code: 0 })
  expect(requests.some((line) => line.includes('deno.land'))).toBe(false)
  expect(await startUnit()).toMatchObject({ release: 'two' })
  await expect(readFile(join(root, 'opt/baseos/old.ts'))).rejects.toThrow('ENOENT')
})

test('fails, and with it the installation, where a server is away', async () => {
  isAway = true
  const clone = await install()
  expect(clone.code).not.toBe(0)
  expect(clone.said).toContain('code.foss.global')
  await runProgram(['rm', join(root, 'usr/local/bin/deno')])
  expect((await install()).code).not.toBe(0)
})

/** Makes a commit of the agent's repository; what the one before held is gone but for `mod.ts`. */
async function publish(release: string, other: string): Promise<void> {
  const work = join(folder.path, `work-${release}`)
  const bare = join(projects, 'serve.zone/baseos.git')
  const git = (...args: string[]) =>
    runProgram(['git', '-c', 'user.name=Played', '-c', 'user.email=played@example.com', ...args], folder.path)
  await runProgram(['mkdir', '-p', bare])
  await git('init', '-q', '--bare', '--initial-branch=main', bare)
  await git('clone', '-q', bare, work)
  const commit = async (message: string) => {
    await git('-C', work, 'add', '--all')
    await git('-C', work, 'commit', '-q', '-m', message)
  }
  await writeFile(join(work, 'mod.ts'), agent('none'))
  await git('-C', work, 'rm', '-q', '--ignore-unmatch', 'old.ts')
  await commit(`before ${release}`)
  await writeFile(join(work, 'mod.ts'), agent(release))
  await writeFile(join(work, other), '')
  await commit(release)
  await git('-C', work, 'push', '-q', 'origin', 'HEAD:main')
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (isAway) return void response.writeHead(503).end()
  if (request.headers.host === 'deno.land' && request.url === '/install.sh') return void response.end(denoInstaller)
  if (request.headers.host === 'code.foss.global') return serveGit(request, response)
  response.writeHead(404).end()
}

/** A server of git's, spoken to as RFC 3875 has it. */
async function serveGit(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '', query = ''] = (request.url ?? '').split('?')
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: searchPath,
      GIT_PROJECT_ROOT: projects,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'],
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
      GIT_PROTOCOL: request.headers['git-protocol']?.toString(),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  request.pipe(child.stdin)
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) chunks.push(chunk)
  const all = Buffer.concat(chunks)
  const end = all.indexOf('\r\n\r\n')
  for (const line of all.toString('latin1', 0, end).split('\r\n')) {
    const [, name = '', value = ''] = /^([^:]+): (.*)$/.exec(line) ?? []
    if (name === 'Status') response.statusCode = Number(value.slice(0, 3))
    else response.setHeader(name, value)
  }
  response.end(all.subarray(end + 4))
}

/** This machine's root with a layer above it: what is written comes to lie in memory, and goes with this process's mounts. */
async function makeRoot(certificate: string): Promise<string> {
  const layers = join(folder.path, 'layers')
  await mkdir(layers)
  await runProgram(['mount', '-t', 'tmpfs', 'layers', layers])
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(layers, name)) as [
    string,
    string,
    string,
  ]
  for (const path of [upper, work, merged]) await mkdir(path)
  await runProgram([
    ...['mount', '-t', 'overlay', 'root', '-o', `lowerdir=/,upperdir=${upper},workdir=${work}`, merged],
  ])
  for (const name of ['dev', 'proc']) await runProgram(['mount', '--bind', `/${name}`, join(merged, name)])
  const put = async (path: string, content: string | Buffer, mode = 0o644) => {
    const target = join(merged, path)
    await runProgram(['mkdir', '-p', join(target, '..')])
    await runProgram(['rm', '-f', target])
    await writeFile(target, content)
    await chmod(target, mode)
  }
  await put('/etc/hosts', `${address} ${names.join(' ')}\n`)
  await put('/etc/ssl/certs/ca-certificates.crt', await readFile(certificate))
  await put('/usr/local/sbin/apt-get', '#!/bin/sh\necho "$*" >>/apt-calls\n', 0o755)
  await put('/var/lib/freehold-install-script', installScript, 0o755)
  for (const file of files) await put(file.path, file.content ?? '', 0o600)
  // The project may lie on a mount of its own, which is no part of the layers.
  await put(playedNode, '')
  await runProgram(['mount', '--bind', process.execPath, join(merged, playedNode)])
  await runProgram(['mkdir', '-p', join(merged, 'var/lib/baseos')])
  return merged
}

/** Runs the script as the installer does: by its name, in the new root, without a terminal. */
function install(): Promise<{ code: number | null; said: string }> {
  return inRoot(['/var/lib/freehold-install-script'], { PATH: searchPath, HOME: '/root' })
}

/** Starts what the unit starts, with the unit's variables alone, and gives what it left where its state belongs. */
async function startUnit(): Promise<unknown> {
  const unit = units[0]?.content ?? ''
  const command = /^ExecStart=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? []
  const variablesFile = /^EnvironmentFile=(.*)$/m.exec(unit)?.[1] ?? ''
  const variables = (await readFile(join(root, variablesFile), 'utf8')).trim().split('\n')
  const ended = await inRoot(command, Object.fromEntries(variables.map((line) => line.split(/=(.*)/s).slice(0, 2))))
  expect(ended).toMatchObject({ code: 0 })
  return JSON.parse(await readFile(join(root, 'var/lib/baseos/state.json'), 'utf8'))
}

async function inRoot(command: string[], variables: Record<string, string>) {
  const given = Object.entries(variables).map(([name, value]) => `${name}=${value}`)
  const program = await startProgram(['chroot', root, '/usr/bin/env', '-i', ...given, ...command])
  await expect.poll(() => program.ended(), { timeout: 120_000 }).toBeDefined()
  return { code: program.ended()?.code ?? null, said: program.output() }
}
