import { buildInput, type DeviceGroup } from '@freehold/contracts'
import type { z } from 'zod'
import { labelsOf, linesOf } from '../devices/labels.ts'
import { type BuildStep, buildSteps } from './steps.ts'
import type { Build } from './words.ts'

type Input = z.input<typeof buildInput>
export type Faults = Record<string, string>

/** What of a build is being typed. */
export interface BuildDraft {
  imageKind: Build['data']['imageKind']
  architecture: Build['data']['architecture']
  /** Empty: Ubuntu's own. */
  baseImageId: string
  ubuntuVersion: string
  hostname: string
  hasWifi: boolean
  ssid: string
  passphrase: string
  isOpen: boolean
  isHidden: boolean
  sshUser: string
  sshPublicKey: string
  labels: string
  compression: Build['data']['compression']
  tokenDays: string
  keepForDays: string
}

export const emptyDraft: BuildDraft = {
  ...{ imageKind: 'ubuntu-iso', architecture: 'amd64', baseImageId: '', ubuntuVersion: '24.04', hostname: '' },
  ...{ hasWifi: false, ssid: '', passphrase: '', isOpen: false, isHidden: false },
  ...{ sshUser: 'baseos', sshPublicKey: '', labels: '', compression: 'xz', tokenDays: '30', keepForDays: '14' },
}

/** Another like it; a passphrase is never told again, so it is typed again. */
export function draftOf({ data }: Pick<Build, 'data'>): BuildDraft {
  const { imageKind, architecture, ubuntuVersion, sshUser, compression, wifi } = data
  return {
    ...emptyDraft,
    ...{ imageKind, architecture, ubuntuVersion, sshUser, compression },
    baseImageId: data.baseImageId ?? '',
    hostname: data.hostname ?? '',
    sshPublicKey: data.sshPublicKey ?? '',
    labels: linesOf(data.deviceLabels),
    keepForDays: String(data.keepForDays),
    ...(wifi === null ? {} : { hasWifi: true, ssid: wifi.ssid, isOpen: wifi.isOpen, isHidden: wifi.hidden }),
  }
}

/** The draft as it is sent. */
export function inputOf(draft: BuildDraft): Input {
  const { imageKind, architecture, ubuntuVersion, compression, sshUser, baseImageId } = draft
  const orNull = (text: string) => (text.trim() === '' ? null : text.trim())
  return {
    ...{ imageKind, architecture },
    baseImageId: orNull(baseImageId),
    hostname: orNull(draft.hostname),
    sshPublicKey: orNull(draft.sshPublicKey),
    // What would have no effect is not sent.
    ...(imageKind === 'ubuntu-iso' ? { sshUser: sshUser.trim() } : { compression }),
    ...(imageKind === 'ubuntu-iso' && baseImageId === '' ? { ubuntuVersion } : {}),
    wifi: draft.hasWifi
      ? { ssid: draft.ssid, passphrase: draft.isOpen ? null : draft.passphrase, hidden: draft.isHidden }
      : null,
    deviceLabels: labelsOf(draft.labels),
    tokenExpiresInSeconds: Math.round(Number(draft.tokenDays) * 86_400),
    keepForDays: Number(draft.keepForDays),
  }
}

/** What of the draft will not go, by the field's path in the contract (`hostname`, `wifi.ssid`). */
export function faultsOf(draft: BuildDraft): Faults {
  const faults: Faults = {}
  const checked = buildInput.safeParse(inputOf(draft))
  for (const { path, message } of checked.error?.issues ?? []) faults[path.join('.')] ??= message
  if (draft.imageKind === 'balena-raw' && draft.baseImageId === '')
    faults.baseImageId = 'Choose the image to begin with.'
  if (draft.hasWifi && draft.ssid === '') faults['wifi.ssid'] = 'Type its name.'
  if (draft.hasWifi && !draft.isOpen && draft.passphrase === '')
    faults['wifi.passphrase'] = 'Type it, or say that it is open.'
  if (draft.sshPublicKey.includes('PRIVATE KEY')) {
    faults.sshPublicKey =
      'This is the private key, which stays with you. Paste the public one, from the file that ends with .pub.'
  }
  return faults
}

const steps: Record<string, BuildStep> = {
  ...{ imageKind: 'device', architecture: 'device', baseImageId: 'base', ubuntuVersion: 'base' },
  ...{ hostname: 'network', wifi: 'network', sshUser: 'access', sshPublicKey: 'access', deviceLabels: 'labels' },
}

/** The step where a field is; what stands nowhere else is on the last. */
export function stepOfPath(path: string): BuildStep {
  return steps[path.split('.')[0] ?? ''] ?? 'review'
}

/** The first step with a fault; undefined where there is none. */
export function firstFaulty(paths: readonly string[]): BuildStep | undefined {
  const faulty = new Set(paths.map(stepOfPath))
  return buildSteps.find((step) => faulty.has(step))
}

/** The group a device with these labels would belong to: of those that select it the one with the smallest priority. */
export function groupOf(labels: Record<string, string>, groups: readonly DeviceGroup[]): DeviceGroup | undefined {
  return groups
    .filter(({ data: { selector } }) => Object.entries(selector).every(([key, value]) => labels[key] === value))
    .toSorted((one, other) => one.data.priority - other.data.priority || (one.data.name < other.data.name ? -1 : 1))[0]
}
