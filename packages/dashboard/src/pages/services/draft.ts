import type { Service, serviceData } from '@freehold/contracts'
import type { z } from 'zod'

export type ServiceInput = z.input<typeof serviceData>
type Port = NonNullable<NonNullable<ServiceInput['ports']>['published']>[number]

/** A row of a list in a form; the key keeps its fields in place while others come and go. */
export type Row<Value> = Value & { key: number }

/** The parts of a service the form shows, as texts while they are being typed. */
export interface Draft {
  description: string
  imageVersion: string
  deployOnPush: boolean
  deploymentStrategy: 'all-nodes' | 'limited-replicas' | 'custom'
  scaleFactor: string
  maxReplicas: string
  antiAffinity: boolean
  environment: Row<{ name: string; value: string }>[]
  command: string
  web: string
  published: Row<{ target: string; published: string; protocol: 'tcp' | 'udp' }>[]
  health: 'none' | 'http' | 'tcp' | 'command'
  healthPath: string
  healthPort: string
  healthCommand: string
  healthTimeout: string
  cpuLimit: string
  memorySizeMB: string
  rolloutStrategy: 'auto' | 'recreate'
  deadlineSeconds: string
  settleSeconds: string
  stopGraceSeconds: string
  /** Public keys in PEM, one after another. */
  signedBy: string
  /** `key=value`, one a line. */
  annotations: string
  requireDigest: boolean
}

export function draftOf(data: Service['data']): Draft {
  const { healthCheck } = data
  const port = healthCheck !== undefined && healthCheck.type !== 'command' ? healthCheck.port : undefined
  return {
    description: data.description,
    imageVersion: data.imageVersion,
    deployOnPush: data.deployOnPush,
    deploymentStrategy: data.deploymentStrategy,
    scaleFactor: String(data.scaleFactor),
    maxReplicas: textOf(data.maxReplicas),
    antiAffinity: data.antiAffinity,
    environment: Object.entries(data.environment).map(([name, value], key) => ({ key, name, value })),
    command: data.command?.join('\n') ?? '',
    web: textOf(data.ports.web),
    published: data.ports.published.map(({ target, published, protocol }, key) => ({
      key,
      target: String(target),
      published: String(published),
      protocol,
    })),
    health: healthCheck?.type ?? 'none',
    healthPath: healthCheck?.type === 'http' ? healthCheck.path : '/',
    healthPort: textOf(port),
    healthCommand: healthCheck?.type === 'command' ? healthCheck.command.join('\n') : '',
    healthTimeout: String(healthCheck?.timeoutSeconds ?? 5),
    cpuLimit: textOf(data.resources.cpuLimit),
    memorySizeMB: textOf(data.resources.memorySizeMB),
    rolloutStrategy: data.rollout.strategy,
    deadlineSeconds: String(data.rollout.deadlineSeconds),
    settleSeconds: String(data.rollout.settleSeconds),
    stopGraceSeconds: String(data.stopGraceSeconds),
    signedBy: data.admission?.signedBy.map((key) => key.trim()).join('\n') ?? '',
    annotations: Object.entries(data.admission?.annotations ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join('\n'),
    requireDigest: data.admission?.requireDigest ?? false,
  }
}

/** What the form says the service shall be; what it does not show stays as it is in `data`. */
export function applyDraft(data: Service['data'], draft: Draft): ServiceInput {
  return {
    ...data,
    description: draft.description,
    imageVersion: draft.imageVersion,
    deployOnPush: draft.deployOnPush,
    deploymentStrategy: draft.deploymentStrategy,
    scaleFactor: numberOf(draft.scaleFactor) ?? 0,
    maxReplicas: numberOf(draft.maxReplicas),
    antiAffinity: draft.antiAffinity,
    environment: environmentOf(draft.environment),
    command: linesOf(draft.command),
    ports: { ...data.ports, web: numberOf(draft.web), published: draft.published.map(portOf) },
    healthCheck: healthCheckOf(draft),
    resources: { cpuLimit: numberOf(draft.cpuLimit), memorySizeMB: numberOf(draft.memorySizeMB) },
    rollout: {
      strategy: draft.rolloutStrategy,
      deadlineSeconds: numberOf(draft.deadlineSeconds),
      settleSeconds: numberOf(draft.settleSeconds),
    },
    stopGraceSeconds: numberOf(draft.stopGraceSeconds),
    admission: admissionOf(data.admission, draft),
  }
}

/** How many replicas a draft asks for at most; 0 where each machine gets one, whatever their number. */
export function replicasOf(draft: Pick<Draft, 'deploymentStrategy' | 'scaleFactor' | 'maxReplicas'>): number {
  const { deploymentStrategy } = draft
  const asked = numberOf(draft.scaleFactor) ?? 0
  if (deploymentStrategy === 'all-nodes') return 0
  return deploymentStrategy === 'limited-replicas' ? Math.min(asked, numberOf(draft.maxReplicas) ?? asked) : asked
}

/** Rows without a name are left out; of two with the same name the last counts. */
export function environmentOf(rows: readonly { name: string; value: string }[]): Record<string, string> {
  return Object.fromEntries(
    rows.filter(({ name }) => name.trim() !== '').map(({ name, value }) => [name.trim(), value]),
  )
}

/** Reads `NAME=value` lines as people paste them: comments, blank lines and `export ` are dropped, quotes taken off. */
export function parseEnvironment(text: string): { name: string; value: string }[] {
  return text.split(/\r?\n/).flatMap((line) => {
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$/.exec(line)
    if (match === null) return []
    const value = (match[2] ?? '').trim()
    const quoted = /^(["'])(.*)\1$/.exec(value)
    return [{ name: match[1] ?? '', value: quoted?.[2] ?? value }]
  })
}

/** Public keys out of a text with one after another; what is none is kept, so that the server says what is wrong. */
function splitKeys(text: string): string[] {
  return text
    .split(/(?<=-----END [A-Z ]+-----)/)
    .map((key) => key.trim())
    .filter((key) => key !== '')
}

/** A rule that demands nothing is none; keys that were not touched stay as they are stored. */
function admissionOf(stored: Service['data']['admission'], draft: Draft): ServiceInput['admission'] {
  const signedBy = splitKeys(draft.signedBy).map((key) => stored?.signedBy.find((one) => one.trim() === key) ?? key)
  const annotations = Object.fromEntries(
    (linesOf(draft.annotations) ?? []).map((line) => {
      const at = line.indexOf('=')
      return at < 0 ? [line.trim(), ''] : [line.slice(0, at), line.slice(at + 1)]
    }),
  )
  const rule = { signedBy, annotations, requireDigest: draft.requireDigest }
  const isNothing = signedBy.length === 0 && Object.keys(annotations).length === 0 && !draft.requireDigest
  const wasNothing = stored !== undefined && stored.signedBy.length === 0 && !stored.requireDigest
  return isNothing && !wasNothing ? undefined : rule
}

function healthCheckOf(draft: Draft): ServiceInput['healthCheck'] {
  const timeoutSeconds = numberOf(draft.healthTimeout)
  if (draft.health === 'none') return undefined
  if (draft.health === 'command')
    return { type: 'command', command: linesOf(draft.healthCommand) ?? [], timeoutSeconds }
  const port = numberOf(draft.healthPort)
  if (draft.health === 'http') return { type: 'http', path: draft.healthPath, port, timeoutSeconds }
  return { type: 'tcp', port, timeoutSeconds }
}

function portOf(row: Draft['published'][number]): Port {
  return { target: numberOf(row.target) ?? 0, published: numberOf(row.published) ?? 0, protocol: row.protocol }
}

function linesOf(text: string): string[] | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return lines.length === 0 ? undefined : lines
}

function numberOf(text: string): number | undefined {
  return text.trim() === '' ? undefined : Number(text)
}

function textOf(value: number | undefined): string {
  return value === undefined ? '' : String(value)
}
