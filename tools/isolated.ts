import { spawn, spawnSync } from 'node:child_process'

/**
 * Runs a command in network, process and mount namespaces of its own: `node tools/isolated.ts COMMAND ARGUMENT…`.
 * Its network holds only loopback, and when the command ends, everything it started, mounted or connected is gone.
 */
const [mode, ...rest] = process.argv.slice(2)
const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`

if (mode === '--inside') {
  const up = spawnSync('ip', ['link', 'set', 'lo', 'up'], { stdio: 'inherit', env: { ...process.env, PATH: path } })
  if (up.status !== 0) fail('The loopback interface could not be brought up (is iproute2 installed?).')
  follow(rest)
} else {
  if (mode === undefined) fail('Say which command to run: node tools/isolated.ts COMMAND ARGUMENT…')
  if (process.platform !== 'linux' || process.getuid?.() !== 0) fail('The system tests need Linux and root.')
  if (spawnSync('tini', ['--version'], { env: { ...process.env, PATH: path } }).error !== undefined) {
    fail(
      'The system tests need tini, docker.io and more. Install with: apt-get install --no-install-recommends -y docker.io tini iproute2 iptables busybox-static chromium skopeo podman buildah strace radosgw ceph-mon ceph-osd ceph-common',
    )
  }
  follow([
    ...['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'tini', '-s', '-g', '--'],
    ...[process.execPath, import.meta.filename, '--inside', mode, ...rest],
  ])
}

/** Hands the standard streams through and ends as the command ended; told to stop, it takes the namespaces down. */
function follow([command, ...args]: string[]): void {
  const child = spawn(command ?? '', args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: path, FREEHOLD_LAB: 'isolated' },
  })
  process.on('SIGINT', () => undefined) // The terminal tells the command itself; its end is awaited here.
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGKILL'))
  child.on('error', (error) => fail(`${command} could not be started: ${error.message}`))
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)))
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
