import { type BuildArchitecture, hostnameOfBuild, type ImageKind } from '@freehold/contracts'
import type { ItemOf } from '../../app/queries.ts'

/** A build as it is shown: without what is sealed in it. */
export type Build = ItemOf<'builds'>

export const kindWords: Record<ImageKind, string> = {
  'ubuntu-iso': 'Ubuntu installer',
  'balena-raw': 'Disk image',
}
export const architectureWords: Record<BuildArchitecture, string> = {
  amd64: 'x86, 64-bit',
  arm64: 'ARM, 64-bit',
  rpi: 'Raspberry Pi',
}

/** What a build is for, in a few words. */
export function targetOf({ imageKind, architecture }: Pick<Build['data'], 'imageKind' | 'architecture'>): string {
  return `${kindWords[imageKind]} for ${architectureWords[architecture]}`
}

/** Phases of a build as workers call them, in their order. Other workers may have others. */
const buildPhases = ['check', 'download', 'verify', 'inspect', 'edit', 'write', 'upload'] as const
const phaseWords: Record<(typeof buildPhases)[number], string> = {
  check: 'Check what was asked for',
  download: 'Fetch the base image',
  verify: 'Verify the base image',
  inspect: 'Look into the base image',
  edit: 'Put the configuration in',
  write: 'Write the image',
  upload: 'Upload the image',
}

export interface PhaseStep {
  name: string
  label: string
  state: 'done' | 'now' | 'ahead'
}

/** The phases with where a build is among them; one that is not known stands at the end, by the worker's word. */
export function phaseSteps(phase: string): PhaseStep[] {
  const at = (buildPhases as readonly string[]).indexOf(phase)
  const known = buildPhases.map((name, index): PhaseStep => {
    const state = at < 0 ? 'ahead' : index < at ? 'done' : index === at ? 'now' : 'ahead'
    return { name, label: phaseWords[name], state }
  })
  const mentioned = phase === 'upload' ? known : known.filter(({ name }) => name !== 'upload')
  if (at >= 0) return mentioned
  return [...mentioned, { name: phase, label: phase, state: 'now' }]
}

/** What a build is called where there are many: its hostname, else the beginning of its id. */
export function nameOfBuild({ id, data }: Pick<Build, 'id' | 'data'>): string {
  return hostnameOfBuild({ id, hostname: data.hostname })
}

export function isOpenBuild({ status }: Pick<Build, 'status'>): boolean {
  return status.state === 'waiting' || status.state === 'building'
}
