import { FreeholdError } from '@freehold/contracts'
import { contentOf } from '../config/load.ts'
import type { UbuntuIsoConfig } from '../config/schema.ts'
import { wifiKey } from '../wifi.ts'
import { scriptPath } from './autoinstall.ts'
import type { TarEntry } from './tar.ts'

const unitFolder = '/etc/systemd/system'

/** Everything that the configuration puts into the installed system, sorted by path. Throws where a path is used twice. */
export async function rootfsEntries(config: UbuntuIsoConfig, folder: string): Promise<TarEntry[]> {
  const files = await Promise.all(
    config.files.map(async (file): Promise<TarEntry> => {
      const content = await contentOf(file, folder)
      return { path: file.path, mode: Number.parseInt(file.mode, 8), ...content }
    }),
  )
  const entries = [...files, ...config.units.flatMap(unitEntries), ...(await wifiEntries(config.wifi))]
  if (config.installScript !== undefined) {
    const text = config.installScript.startsWith('#!') ? config.installScript : `#!/bin/sh\n${config.installScript}`
    entries.push({ path: scriptPath, mode: 0o700, bytes: Buffer.from(text) })
  }
  const sorted = entries.toSorted((one, other) => (one.path < other.path ? -1 : 1))
  const twice = sorted.find(({ path }, index) => path === sorted[index + 1]?.path)
  if (twice !== undefined) throw new FreeholdError('invalid-input', `${twice.path} is given twice.`)
  return sorted.map((entry) => ({ ...entry, path: entry.path.slice(1) }))
}

function unitEntries(unit: UbuntuIsoConfig['units'][number]): TarEntry[] {
  const file = { path: `${unitFolder}/${unit.name}`, mode: 0o644, bytes: Buffer.from(unit.content) }
  if (!unit.enable) return [file]
  return [file, { path: `${unitFolder}/${unit.wantedBy}.wants/${unit.name}`, target: `../${unit.name}` }]
}

/**
 * netplan names interfaces and the names of wireless ones differ from machine to machine: where none is given,
 * systemd calls the wireless interface wlan0.
 */
async function wifiEntries(wifi: UbuntuIsoConfig['wifi']): Promise<TarEntry[]> {
  if (wifi === undefined) return []
  const { ssid, passphrase, hidden } = wifi
  const accessPoint = {
    ...(passphrase === undefined ? {} : { password: await wifiKey({ ssid, passphrase }) }),
    ...(hidden ? { hidden } : {}),
  }
  const name = wifi.interface ?? 'wlan0'
  const netplan = {
    network: {
      version: 2,
      wifis: { [name]: { dhcp4: true, optional: true, 'access-points': { [ssid]: accessPoint } } },
    },
  }
  const plan = {
    path: '/etc/netplan/60-freehold-wifi.yaml',
    mode: 0o600,
    bytes: Buffer.from(`${JSON.stringify(netplan)}\n`),
  }
  if (wifi.interface !== undefined) return [plan]
  const link = '[Match]\nType=wlan\n\n[Link]\nName=wlan0\n'
  return [plan, { path: '/etc/systemd/network/10-freehold-wifi.link', mode: 0o644, bytes: Buffer.from(link) }]
}
