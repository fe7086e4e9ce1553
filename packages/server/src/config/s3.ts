import type { Secret } from '../secrets/index.ts'

export interface S3Config {
  /** `https://s3.example.com:9000` */
  endpoint: string
  region: string
  bucket: string
  accessKey: Secret
  secretKey: Secret
  downloads: 'redirect' | 'proxy'
}

/** The settings as they are written, one variable each. */
interface S3Values {
  s3Endpoint: string | undefined
  s3Port: number | undefined
  s3UseSsl: boolean | undefined
  s3Region: string
  s3Bucket: string | undefined
  s3AccessKey: Secret | undefined
  s3SecretKey: Secret | undefined
  s3Downloads: 'redirect' | 'proxy'
}
export type S3Setting = keyof S3Values

const needed = {
  S3_ENDPOINT: 'the hostname of the S3 store',
  S3_BUCKET: 'the name of a bucket in it',
  S3_ACCESSKEY: 'an access key for it',
  S3_SECRETKEY: 'the secret key that belongs to the access key',
}
const variables = [...Object.keys(needed), 'S3_PORT', 'S3_USESSL', 'S3_REGION']

/** One variable of S3 means that blobs are to be in S3: then those that are needed must all be there, and agree. */
export function faultsOfS3(environment: Record<string, string | undefined>): string[] {
  const set = variables.filter((name) => Boolean(environment[name]))
  if (set.length === 0) return []
  const missing = Object.entries(needed)
    .filter(([name]) => !set.includes(name))
    .map(
      ([name, what]) =>
        `${name} is not set, but ${set.join(', ')} ${set.length === 1 ? 'is' : 'are'}: set it to ${what}, or set none of them to keep blobs in the data directory.`,
    )
  return [...missing, ...contradictions(environment)]
}

/** The endpoint may say protocol and port itself; two that differ would leave one of them ignored. */
function contradictions(environment: Record<string, string | undefined>): string[] {
  const { S3_ENDPOINT: endpoint = '', S3_PORT: port, S3_USESSL: useSsl } = environment
  const faults: string[] = []
  const saidPort = /:(\d{1,5})\/?$/.exec(endpoint)?.[1]
  if (port && saidPort !== undefined && Number(saidPort) !== Number(port)) {
    faults.push(`S3_PORT is ${port.slice(0, 10)}, but S3_ENDPOINT says ${saidPort}; leave one of them out.`)
  }
  const protocol = /^(https?):/.exec(endpoint)?.[1]
  const wanted = useSsl ? (['true', '1', 'on'].includes(useSsl) ? 'https' : 'http') : protocol
  if (protocol !== wanted && protocol !== undefined) {
    faults.push(
      `S3_USESSL is ${useSsl?.slice(0, 10)}, but S3_ENDPOINT begins with ${protocol}:; leave one of them out.`,
    )
  }
  return faults
}

/** Undefined where none of it is set. */
export function s3Of(values: S3Values): S3Config | undefined {
  const { s3Endpoint, s3Port, s3UseSsl = true, s3Bucket, s3AccessKey, s3SecretKey } = values
  if (!s3Endpoint || !s3Bucket || !s3AccessKey || !s3SecretKey) return undefined
  const url = new URL(s3Endpoint.includes('://') ? s3Endpoint : `${s3UseSsl ? 'https' : 'http'}://${s3Endpoint}`)
  if (s3Port !== undefined) url.port = String(s3Port)
  return {
    endpoint: url.origin,
    region: values.s3Region,
    bucket: s3Bucket,
    accessKey: s3AccessKey,
    secretKey: s3SecretKey,
    downloads: values.s3Downloads,
  }
}
