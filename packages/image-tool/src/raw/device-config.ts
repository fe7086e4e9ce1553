import { FreeholdError } from '@freehold/contracts'
import type { BalenaRawConfig } from '../config/schema.ts'
import { wifiKey } from '../wifi.ts'

type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/** The file of balenaOS that a device is configured by, on its boot partition. */
export const configPath = '/config.json'

/** The configuration that the device starts with: the image's own, with ours merged into it. */
export function deviceConfigOf(existing: string | undefined, config: BalenaRawConfig): string {
  const ours: Json = {
    ...(config.hostname === undefined ? {} : { hostname: config.hostname }),
    ...(config.sshKeys.length === 0 ? {} : { os: { sshKeys: config.sshKeys } }),
  }
  const merged = mergePatch(mergePatch(parse(existing), ours), config.config as Json)
  return `${JSON.stringify(merged, undefined, 2)}\n`
}

function parse(text: string | undefined): Json {
  if (text === undefined || text.trim() === '') return {}
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new FreeholdError('invalid-input', 'config.json of the base image is not JSON.')
  }
}

/** RFC 7386: members of the patch win, null removes, everything but objects is replaced whole. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged = new Map(Object.entries(isObject(target) ? target : {}))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, mergePatch(merged.get(key) ?? null, value))
  }
  // Defining members keeps a key such as __proto__ what it is: a key.
  return Object.fromEntries(merged)
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Where balenaOS finds connections of NetworkManager on the boot partition. */
export const wifiPath = '/system-connections/freehold-wifi'

/** A connection as NetworkManager's keyfile has it; the network's name as bytes, which needs no quoting. */
export async function wifiConnectionOf(wifi: NonNullable<BalenaRawConfig['wifi']>): Promise<string> {
  const { ssid, passphrase, hidden } = wifi
  const bytes = [...Buffer.from(ssid)].map((byte) => `${byte};`).join('')
  return [
    '[connection]',
    'id=freehold-wifi',
    'type=wifi',
    '',
    '[wifi]',
    'mode=infrastructure',
    `ssid=${bytes}`,
    ...(hidden ? ['hidden=true'] : []),
    ...(passphrase === undefined
      ? []
      : ['', '[wifi-security]', 'key-mgmt=wpa-psk', `psk=${await wifiKey({ ssid, passphrase })}`]),
    '',
    '[ipv4]',
    'method=auto',
    '',
    '[ipv6]',
    'addr-gen-mode=stable-privacy',
    'method=auto',
    '',
  ].join('\n')
}
