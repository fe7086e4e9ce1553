import { isAbsolute, resolve } from 'node:path'
import type { z } from 'zod'
import { faultsOfS3, type S3Config, type S3Setting, s3Of } from './s3.ts'
import { type Setting, settings } from './settings.ts'

type Values = { [Name in keyof typeof settings]: z.output<(typeof settings)[Name]['schema']> }
export interface Config extends Omit<Values, 'trustedProxies' | S3Setting> {
  trustedProxies: string[]
  /** Where blobs are kept, if not in the data directory. */
  s3?: S3Config
}

/**
 * Reads the configuration from environment variables. Either it is whole, with warnings about variables nobody
 * knows, or there are faults: all of them, one sentence each that says what to do. Values of secrets appear in neither.
 */
export function readConfig(
  environment: Record<string, string | undefined>,
): { config: Config; warnings: string[] } | { faults: string[]; warnings: string[] } {
  const values: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [name, setting] of Object.entries<Setting>(settings)) {
    // Empty means not set: compose files and unit files write `NAME=` for that.
    const parsed = setting.schema.safeParse(environment[setting.variable] || undefined)
    if (parsed.success) values[name] = parsed.data
    else faults.push(...parsed.error.issues.map((issue) => faultOf(setting, environment[setting.variable], issue)))
  }
  if (values.sslMode === 'external' && values.hostname === undefined && !faults.some(about('SERVEZONE_URL'))) {
    faults.push(
      'SERVEZONE_URL is not set: with SERVEZONE_SSLMODE=external nobody else knows the public hostname; set it.',
    )
  }
  faults.push(...faultsOfS3(environment))
  const warnings = unknownVariables(environment)
  if (faults.length > 0) return { faults, warnings }
  return { config: complete(values as Values), warnings }
}

function complete(values: Values): Config {
  const { s3Endpoint, s3Port, s3UseSsl, s3Region, s3Bucket, s3AccessKey, s3SecretKey, s3Downloads, ...others } = values
  const { dataDirectory } = others
  const s3 = s3Of({ s3Endpoint, s3Port, s3UseSsl, s3Region, s3Bucket, s3AccessKey, s3SecretKey, s3Downloads })
  return {
    ...others,
    ...(s3 === undefined ? {} : { s3 }),
    dataDirectory: isAbsolute(dataDirectory) ? dataDirectory : resolve(dataDirectory),
    trustedProxies: values.trustedProxies ?? (values.sslMode === 'external' ? ['127.0.0.1', '::1'] : []),
  }
}

function about(variable: string): (fault: string) => boolean {
  return (fault) => fault.startsWith(`${variable} `)
}

function faultOf(setting: Setting, text: string | undefined, issue: z.core.$ZodIssue): string {
  const part = issue.path.length === 0 ? '' : ` (its ${issue.path.join('.')})`
  const shown = setting.secret === true || text === undefined ? '' : ` is "${text.slice(0, 100)}" and`
  const message = /^(must|letsencrypt)/.test(issue.message) ? issue.message : `must be: ${issue.message}`
  return `${setting.variable}${part}${shown} ${message}. Accepted: ${setting.unit ?? 'text'}.`
}

function unknownVariables(environment: Record<string, string | undefined>): string[] {
  const known = new Set(Object.values<Setting>(settings).map((setting) => setting.variable))
  return Object.keys(environment)
    .filter((name) => /^(FREEHOLD|SERVEZONE)_/.test(name) && !known.has(name))
    .toSorted()
    .map((name) => `${name} is set, but there is no such setting; it is ignored. docs/settings.md lists them all.`)
}
