/**
 * Plays the programs of a balenaOS host, as its sources describe them (meta-balena 5: `hostapp-update`, the hooks
 * `80-rollback` and `99-resin-uboot`, `rollback-health`, `rollback-altboot`). It is no balenaOS: the real one has never run in
 * these tests. `played-host.fixture.ts ROOT PROGRAM ARGUMENTS…`; ROOT/played.json says what goes wrong.
 */

import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [root = '', program = '', ...argv] = process.argv.slice(2)
const at = (path: string) => join(root, path)
const plan: { pull?: 'fails' | 'hangs'; hooks?: 'fail'; reboot?: 'fails' } = JSON.parse(
  readFileSync(at('played.json'), 'utf8'),
)
appendFileSync(at('played.log'), `${[program, ...argv].join(' ')}\n`)

if (program === 'hostapp-update') await hostappUpdate(argv)
else if (program === 'hostapp-update-hooks') runHooks()
else if (program === 'systemctl' && argv[0] === 'reboot') process.exitCode = plan.reboot === 'fails' ? 1 : 0
else process.exitCode = 127

async function hostappUpdate([flag, image = '']: string[]): Promise<void> {
  if (flag !== '-i') return fail('At least one of -f or -i is required')
  console.log('Running hostapp update...')
  const inactive = at('mnt/sysroot/inactive')
  rmSync(inactive, { recursive: true, force: true })
  mkdirSync(join(inactive, 'hostapps'), { recursive: true })
  if (plan.pull === 'hangs') await new Promise((resolve) => setTimeout(resolve, 3_600_000))
  if (plan.pull === 'fails' || !mayPull(image)) {
    return fail(`Error response from daemon: unauthorized: ${image}`)
  }
  const container = createHash('sha256').update(image).digest('hex')
  mkdirSync(join(inactive, 'balena/containers', container), { recursive: true })
  writeFileSync(
    join(inactive, 'balena/containers', container, 'config.v2.json'),
    JSON.stringify({ Config: { Image: image } }),
  )
  mkdirSync(join(inactive, 'hostapps', container))
  symlinkSync(`hostapps/${container}`, join(inactive, 'current'))
  if (plan.hooks === 'fail') {
    console.log('Failed to run the new hooks. Running current hooks... ')
    runHooks()
    return fail('Update failed.')
  }
  for (const name of ['rollback-health-triggered', 'rollback-altboot-triggered', 'rollback-health-failed']) {
    rmSync(at(`mnt/state/${name}`), { force: true })
  }
  for (const name of ['rollback-health-breadcrumb', 'rollback-altboot-breadcrumb'])
    writeFileSync(at(`mnt/state/${name}`), '')
  writeFileSync(at('bootloader'), 'inactive')
  console.log('Finished running hostapp update')
}

/** The hooks of the running host, outside of an update: its own root boots, and nothing is checked. */
function runHooks(): void {
  writeFileSync(at('bootloader'), 'active')
  for (const kind of ['health', 'altboot']) {
    for (const mark of ['breadcrumb', 'triggered']) rmSync(at(`mnt/state/rollback-${kind}-${mark}`), { force: true })
  }
}

/** As `balena pull` does, it looks for the registry's credentials in the client's configuration. */
function mayPull(image: string): boolean {
  const path = at(join(process.env.DOCKER_CONFIG ?? '/root/.docker', 'config.json'))
  if (!existsSync(path)) return false
  const { auths } = JSON.parse(readFileSync(path, 'utf8')) as { auths: Record<string, { auth: string }> }
  const auth = auths[image.split('/')[0] ?? '']?.auth ?? ''
  return Buffer.from(auth, 'base64').toString() === 'device:the-node-token'
}

function fail(message: string): void {
  console.log(message)
  process.exitCode = 1
}
