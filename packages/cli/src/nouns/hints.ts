import type { AnyResource } from '../api.ts'
import type { Output } from '../output/output.ts'
import { nameOf } from './lookup.ts'
import type { Noun } from './noun.ts'

/** Says that something was made, shows what is shown only once, and names the next command. */
export function tellCreated(output: Output, noun: Noun, created: unknown): void {
  const answer = created as Partial<{
    resource: AnyResource
    token: string
    jumpCode: string
    command: string
    joinToken: string
    configuration: string
  }>
  const resource = answer.resource ?? (created as AnyResource)
  if (answer.token !== undefined) {
    output.note(`Created token ${nameOf(resource)}. Its value is shown this once:`)
    output.line(answer.token)
    return
  }
  if (answer.joinToken !== undefined) {
    output.note(`Created join token ${nameOf(resource)}. The environment of the device agent, shown this once:`)
    output.line((answer.configuration ?? answer.joinToken).trimEnd())
    return
  }
  if (answer.jumpCode !== undefined) {
    output.note('Run this in a clone of Freehold on the machine that shall join. The code in it is shown this once:')
    output.line(answer.command ?? answer.jumpCode)
    return
  }
  output.line(`Created ${noun.singular} ${nameOf(resource)}.`)
  const next = nextSteps[noun.plural]?.(nameOf(resource))
  if (next !== undefined) output.note(`→ ${next}`)
}

const nextSteps: Record<string, (name: string) => string> = {
  clusters: (name) => `\`freehold clusters join-code ${name}\` gives what a machine needs to join.`,
  services: (name) =>
    `\`freehold services push-help ${name}\` shows how to push its image; \`freehold rollouts watch ${name}\` follows it.`,
  images: (name) => `\`freehold services create NAME --cluster CLUSTER --image ${name}\` runs it.`,
  'external-registries': (name) => `\`freehold external-registries test ${name}\` signs in there.`,
  releases: (name) => `\`freehold release-rollouts create CHANNEL ${name}\` brings it to devices.`,
  channels: (name) =>
    `\`freehold device-groups create NAME --app-channel ${name} --selector KEY=VALUE\` lets devices follow it.`,
  'device-groups': (name) => `\`freehold device-groups members ${name}\` shows who belongs to it.`,
  users: () => 'They sign in with `freehold login`.',
}
