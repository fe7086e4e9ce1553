import type { CorebuildJob } from '@freehold/contracts'

/** What a device gets with its image: the settings of the device agent, its unit, and the script that installs it. */

/** Of systemd's EnvironmentFile; values hold nothing that it could misread (`plan.ts` sees to it). */
export function environmentFileOf(job: CorebuildJob, statePath: string): string {
  const variables = {
    BASEOS_CLOUDLY_URL: job.cloudlyUrl,
    BASEOS_JOIN_TOKEN: job.provisioningToken,
    BASEOS_STATE_PATH: statePath,
    BASEOS_HEARTBEAT_INTERVAL_MS: String(job.heartbeatIntervalMs ?? defaultHeartbeatMs),
  }
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

export const defaultHeartbeatMs = 60_000
export const environmentPath = '/etc/baseos/baserunner.env'
export const unitName = 'baseos-baserunner.service'
export const stateFolder = '/var/lib/baseos'
const agentFolder = '/opt/baseos'
export const archivePath = `${agentFolder}/device-agent.tar.gz`

export function unitOf(install: 'artifact' | 'git'): string {
  return `[Unit]
Description=BaseOS device agent
Wants=network-online.target
After=network-online.target

[Service]
EnvironmentFile=${environmentPath}
${install === 'artifact' ? artifactStart : gitStart}
Restart=always
RestartSec=5
StateDirectory=baseos
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
`
}

/** The archive brings its own Node behind this one program. */
const artifactStart = `ExecStart=${agentFolder}/current/bin/baserunner start`
const gitStart = `WorkingDirectory=${agentFolder}
ExecStart=/usr/local/bin/deno run --allow-env --allow-net --allow-read=${stateFolder},${agentFolder} --allow-write=${stateFolder} ${agentFolder}/mod.ts start`

/** Unpacks the agent that came with the image, after its digest was verified once more. */
export function artifactScriptOf(sha256: string): string {
  const name = sha256.slice(0, 12)
  return `#!/bin/sh
set -eu
umask 022
echo '${sha256}  ${archivePath}' | sha256sum --check --strict --quiet -
mkdir -p ${agentFolder}/${name}
tar -x -z --no-same-owner -f ${archivePath} -C ${agentFolder}/${name}
ln -s -f -n ${name} ${agentFolder}/current
rm -f ${archivePath}
`
}

/**
 * Installs Deno where it is missing, and checks the agent out. What that brings is decided when the device is installed.
 * With `-y`, or at a terminal without CI, Deno's installer would go on to set up shells, with a program from yet another server.
 */
export function gitScript(): string {
  return `#!/bin/sh
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends ca-certificates curl git unzip
if [ ! -x /usr/local/bin/deno ]; then
  curl -fsSL https://deno.land/install.sh -o /root/deno-install.sh
  CI=1 DENO_INSTALL=/usr/local sh /root/deno-install.sh
  rm -f /root/deno-install.sh
fi
rm -rf ${agentFolder}
git clone --depth 1 https://code.foss.global/serve.zone/baseos.git ${agentFolder}
`
}
