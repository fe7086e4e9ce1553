import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../../..')
const room = join(import.meta.dirname, '..')

test('what the Dockerfile copies is all that the agent needs to start', async () => {
  const image = await mkdtemp(join(tmpdir(), 'freehold-device-image-'))
  try {
    const dockerfile = await readFile(join(room, 'Dockerfile'), 'utf8')
    const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].map(([, paths = '']) => paths.split(' '))
    expect(copies.length).toBeGreaterThan(3)
    for (const paths of copies) {
      const target = paths.at(-1) ?? ''
      for (const source of paths.slice(0, -1)) {
        const isInto = target.endsWith('/')
        await cp(join(root, source), join(image, isInto ? join(target, basename(source)) : target), { recursive: true })
      }
    }
    // What npm installs there for the workspace, from this repository's own.
    await mkdir(join(image, 'node_modules/@freehold'), { recursive: true })
    for (const name of ['contracts', 'reconcile']) {
      await symlink(`../../packages/${name}`, join(image, 'node_modules/@freehold', name))
    }
    for (const name of await librariesOf('packages/device-agent')) {
      await cp(join(root, 'node_modules', name), join(image, 'node_modules', name), { recursive: true })
    }

    const [, main = ''] = /"\/app\/(packages\/.+?)"\]/.exec(dockerfile) ?? []
    const { code, text } = await outputOf([join(image, main), 'status'])
    expect([code, text]).toEqual([0, expect.stringContaining('not-configured')])
    const verified = await outputOf([join(image, 'packages/device-agent/src/updates/verify.ts')], '{}')
    // It was loaded whole and asked nothing that it could answer.
    expect(verified.text).toMatch(/RangeError: Invalid time value/)
    expect(verified.text).not.toContain('ERR_MODULE_NOT_FOUND')
  } finally {
    await rm(image, { recursive: true, force: true })
  }
})

test('the compile cache is filled at the path and with the flags that the agent has in the image', async () => {
  const dockerfile = await readFile(join(room, 'Dockerfile'), 'utf8')
  const [, main = ''] = /"(\/app\/packages\/.+?)"\]/.exec(dockerfile) ?? []
  const [, place = ''] = /^WORKDIR (.+)$/m.exec(dockerfile) ?? []
  const runs = dockerfile
    .split(/^(?=[A-Z]+ )/m)
    .filter((step) => /^RUN [^&]*NODE_COMPILE_CACHE=\/app\/compile-cache /.test(step))
  const entries = runs.map((step) => join(place, / (packages\/\S+\.ts)/.exec(step)?.[1] ?? ''))
  expect(entries).toEqual([main, join(place, 'packages/device-agent/src/updates/verify.ts')])
  expect(dockerfile).toContain(`COPY --from=build ${place} ${place}\n`)
  const verifier = await readFile(join(import.meta.dirname, 'updates/verifier.ts'), 'utf8')
  const heapFlags = [...verifier.matchAll(/'(--max-[^']+)'/g)].map(([, flag = '']) => flag)
  expect(heapFlags.length).toBe(2)
  for (const flag of heapFlags) expect(runs[1]).toContain(flag)
  // Node keeps a cache for each user by number; the one that may run it beside root reads the same.
  expect(dockerfile).toMatch(/ln -s "\$\{cache##\*\/\}" "\$\{cache%-0\}-65534"/)
  expect(dockerfile).toMatch(/install -d -m 700 -o 65534 -g 65534 \/image\/data\/baseos \/image\/run\/baseos/)
})

test('the step that fills the compile cache succeeds whenever in its start the agent is ended', async () => {
  const dockerfile = await readFile(join(room, 'Dockerfile'), 'utf8')
  const [, step = ''] = /^RUN (NODE_COMPILE_CACHE=.+(?:\n .+)+)/m.exec(dockerfile) ?? []
  const place = await mkdtemp(join(tmpdir(), 'freehold-device-cache-'))
  try {
    const script = step
      .replaceAll('\\\n', '')
      .replaceAll('/app/compile-cache', join(place, 'compile-cache'))
      .replaceAll('/tmp/state.json', join(place, 'state.json'))
      .replace('/image/usr/bin/node packages', `${process.execPath} ${root}/packages`)
    expect(script.match(/sleep 1;/g)).toHaveLength(1)
    // Ended the moment it begins its second stage, and when it is up.
    for (const pause of ['sleep 0.01;', 'sleep 3;']) {
      await rm(join(place, 'compile-cache'), { recursive: true, force: true })
      const child = spawn('sh', ['-c', script.replace('sleep 1;', pause)], { cwd: place, stdio: 'ignore' })
      const code = await new Promise((resolve) => child.once('exit', resolve))
      expect([pause, code]).toEqual([pause, 0])
    }
  } finally {
    await rm(place, { recursive: true, force: true })
  }
})

test('the compose file asks for the Supervisor and keeps the state on a volume that no other service needs', async () => {
  const compose = await readFile(join(room, 'docker-compose.yml'), 'utf8')
  expect(compose).toMatch(/io\.balena\.features\.supervisor-api: ['"]1['"]/)
  expect(compose).toMatch(/io\.balena\.features\.balena-socket: ['"]1['"]/)
  expect(compose).toContain('- baseos-data:/data/baseos')
  expect(compose).toMatch(/BASEOS_LOCAL_API: unix:\/\/\/run\/baseos\//)
  // Its root is read-only: what it writes lies on volumes, or goes with the container.
  expect(compose).toMatch(/read_only: true\n {4}tmpfs:\n {6}- \/tmp\n/)
})

/** A package's libraries and theirs, as the lock file has them. */
async function librariesOf(folder: string): Promise<string[]> {
  const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'))
  const found = new Set<string>()
  const walk = (names: string[]) => {
    for (const name of names.filter((other) => !other.startsWith('@freehold/') && !found.has(other))) {
      found.add(name)
      walk(Object.keys(packages[`node_modules/${name}`]?.dependencies ?? {}))
    }
  }
  walk(Object.keys(packages[folder].dependencies))
  return [...found]
}

function outputOf(argv: string[], input = ''): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { env: { PATH: process.env.PATH }, stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.end(input)
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, text }))
  })
}
