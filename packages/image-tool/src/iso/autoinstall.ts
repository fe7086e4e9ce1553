import type { UbuntuIsoConfig } from '../config/schema.ts'

/** Where the files of ours lie on the image. cloud-init and the installer see the image at /cdrom. */
export const isoPaths = {
  userData: '/nocloud/user-data',
  metaData: '/nocloud/meta-data',
  archive: '/freehold/rootfs.tar',
  installScript: '/freehold/install.sh',
} as const

/** What makes the installer begin without asking, and find its answers. */
export const installerArguments = ['autoinstall', 'ds=nocloud;s=/cdrom/nocloud/']

/**
 * The answers of an unattended installation, as cloud-init's user data. JSON is YAML; characters outside ASCII are
 * escaped as YAML has it, so that no reader takes one for the end of a line.
 */
export function userDataOf(config: UbuntuIsoConfig): string {
  return `#cloud-config\n${yamlOf({ autoinstall: autoinstallOf(config) })}\n`
}

export function metaDataOf({ instanceId, hostname }: { instanceId: string; hostname: string }): string {
  return `${yamlOf({ 'instance-id': instanceId, 'local-hostname': hostname })}\n`
}

/** Sections of the configuration, and those that follow from its other fields. */
export function autoinstallOf(config: UbuntuIsoConfig): Record<string, unknown> {
  const { user, autoinstall } = config
  const wifiPackages = config.wifi === undefined ? [] : ['wpasupplicant']
  const packages = [...new Set([...(autoinstall.packages ?? []), ...wifiPackages])]
  return {
    version: 1,
    'refresh-installer': { update: false },
    shutdown: 'reboot',
    storage: { layout: { name: 'direct' } },
    ...autoinstall,
    ...(packages.length === 0 ? {} : { packages }),
    ssh: { 'install-server': true, 'allow-pw': user?.passwordHash !== undefined },
    'user-data': {
      hostname: config.hostname,
      preserve_hostname: false,
      users: user === undefined ? [] : [cloudUserOf(user)],
    },
    'late-commands': [['sh', `/cdrom${isoPaths.installScript}`]],
  }
}

const loginShell = '/bin/bash'

function cloudUserOf(user: NonNullable<UbuntuIsoConfig['user']>): Record<string, unknown> {
  return {
    name: user.name,
    groups: user.sudo ? ['adm', 'sudo'] : ['adm'],
    shell: loginShell,
    lock_passwd: user.passwordHash === undefined,
    ...(user.passwordHash === undefined ? {} : { passwd: user.passwordHash }),
    ...(user.sudo ? { sudo: 'ALL=(ALL) NOPASSWD:ALL' } : {}),
    ssh_authorized_keys: user.sshKeys,
  }
}

/**
 * The script that the installer runs last, as root and outside the new system: it unpacks our files into it, and runs
 * the configuration's own script inside it.
 */
export function installScriptOf({ hasScript }: { hasScript: boolean }): string {
  return [
    '#!/bin/sh',
    'set -eu',
    'umask 022',
    `tar -x -p --numeric-owner -f /cdrom${isoPaths.archive} -C /target`,
    ...(hasScript ? [`curtin in-target --target=/target -- ${scriptPath}`, `rm -f /target${scriptPath}`] : []),
    '',
  ].join('\n')
}

/** Where the configuration's own script lies in the new system until it has run. */
export const scriptPath = '/var/lib/freehold-install-script'

function yamlOf(value: unknown): string {
  return JSON.stringify(value, undefined, 2).replace(/[^\n\x20-\x7e]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}
