import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `npm run check`: everything that can be said about the code without running it. All checks run, whatever the ones
 * before said, so that one run shows every fault.
 */
interface Check {
  name: string
  argv: readonly string[]
  /** Said after a failure: what usually mends it. */
  advice: string
}

const root = join(import.meta.dirname, '..')
const dashboardTypes = 'packages/dashboard/tsconfig.json'
const checks: readonly Check[] = [
  {
    name: 'format and lint',
    argv: ['biome', 'ci', '--colors=off', '--max-diagnostics=50', '.'],
    advice: 'Most of it goes away with: npx biome check --write .',
  },
  { name: 'types', argv: ['tsc', '-p', '.'], advice: 'Correct the types; no any, no assertion.' },
  ...(existsSync(join(root, dashboardTypes))
    ? [
        {
          name: 'types of the dashboard',
          argv: ['tsc', '-p', dashboardTypes, '--noEmit'],
          advice: 'Correct the types.',
        },
      ]
    : []),
  { name: 'architecture', argv: ['vitest', 'run', 'architecture.test.ts'], advice: 'Each message says what to do.' },
  {
    name: 'dead code',
    argv: ['knip', '--no-config-hints'],
    advice: 'Delete what nothing uses; do not hide it in knip.json.',
  },
  { name: 'generated files', argv: ['node', 'tools/generate.ts', '--check'], advice: 'Run: npm run generate' },
]

let failed = 0
for (const check of checks) {
  const startedAt = performance.now()
  const { passed, output } = await run(check.argv)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  process.stdout.write(`${passed ? 'ok  ' : 'FAIL'} ${check.name} (${seconds} s)\n`)
  if (passed) continue
  failed += 1
  process.stdout.write(`${output.trimEnd()}\n     ${check.advice}\n`)
}
process.stdout.write(
  failed === 0 ? `All ${checks.length} checks passed.\n` : `${failed} of ${checks.length} checks failed.\n`,
)
process.exitCode = failed === 0 ? 0 : 1

function run([command, ...args]: readonly string[]): Promise<{ passed: boolean; output: string }> {
  return new Promise((resolve) => {
    const bin = join(root, 'node_modules/.bin')
    const child = spawn(join(bin, command ?? ''), args, {
      cwd: root,
      env: { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}`, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const chunks: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', (error) => resolve({ passed: false, output: error.message }))
    child.on('close', (code) => resolve({ passed: code === 0, output: Buffer.concat(chunks).toString() }))
  })
}
