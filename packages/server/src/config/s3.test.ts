import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from './index.ts'

const whole = {
  S3_ENDPOINT: 's3.example.com',
  S3_BUCKET: 'freehold',
  S3_ACCESSKEY: 'AN-ACCESS-KEY',
  S3_SECRETKEY: 'a-very-secret-key',
}

function good(environment: Record<string, string>) {
  const result = readConfig(environment)
  if ('faults' in result) throw new Error(result.faults.join('\n'))
  return result.config
}

function faultsOf(environment: Record<string, string>): string[] {
  const result = readConfig(environment)
  return 'faults' in result ? result.faults : []
}

test('without any of its variables there is no S3', () => {
  expect('s3' in good({})).toBe(false)
  expect('s3' in good({ S3_BUCKET: '', S3_PORT: '', FREEHOLD_S3_DOWNLOADS: 'proxy' })).toBe(false)
})

test('the four that are needed are enough', () => {
  expect(good(whole).s3).toMatchObject({
    endpoint: 'https://s3.example.com',
    region: 'us-east-1',
    bucket: 'freehold',
    downloads: 'redirect',
  })
})

test.each([
  [{ S3_PORT: '9000' }, 'https://s3.example.com:9000'],
  [{ S3_USESSL: 'false' }, 'http://s3.example.com'],
  [{ S3_USESSL: 'false', S3_PORT: '9000' }, 'http://s3.example.com:9000'],
  [{ S3_ENDPOINT: 'http://10.0.0.7:9000' }, 'http://10.0.0.7:9000'],
  [{ S3_ENDPOINT: 'https://s3.example.com/', S3_PORT: '443', S3_USESSL: 'true' }, 'https://s3.example.com'],
  [{ S3_ENDPOINT: 'minio:9000', S3_USESSL: 'false' }, 'http://minio:9000'],
  [{ S3_ENDPOINT: '[::1]', S3_PORT: '9000' }, 'https://[::1]:9000'],
])('%j is the address %s', (changed, endpoint) => {
  expect(good({ ...whole, ...changed }).s3?.endpoint).toBe(endpoint)
})

test('one variable alone names all that are missing, and what to set them to', () => {
  for (const [name, value] of Object.entries({ ...whole, S3_PORT: '9000', S3_USESSL: 'true', S3_REGION: 'eu' })) {
    const faults = faultsOf({ [name]: value })
    const missing = Object.keys(whole).filter((other) => other !== name)
    expect(faults.map((fault) => fault.split(' ')[0]).toSorted()).toEqual(missing.toSorted())
    for (const fault of faults) expect(fault).toContain(`${name} is: set it to`)
  }
})

test('an endpoint that says something else than the variables beside it is refused', () => {
  expect(faultsOf({ ...whole, S3_ENDPOINT: 's3:9000', S3_PORT: '9001' })).toEqual([expect.stringMatching(/^S3_PORT /)])
  const ssl = faultsOf({ ...whole, S3_ENDPOINT: 'https://s3', S3_USESSL: 'false' })
  expect(ssl).toEqual([expect.stringMatching(/^S3_USESSL /)])
})

test('wrong values are named, each with its variable', () => {
  const faults = faultsOf({
    S3_ENDPOINT: 'https://user:pass@s3.example.com/path',
    S3_BUCKET: 'Not A Bucket',
    S3_PORT: '0',
    S3_USESSL: 'perhaps',
    S3_REGION: 'somewhere over',
    S3_ACCESSKEY: 'k',
    S3_SECRETKEY: 'x'.repeat(2000),
    FREEHOLD_S3_DOWNLOADS: 'both',
  })
  const named = new Set(faults.map((fault) => fault.split(' ')[0]))
  expect([...named].toSorted()).toEqual([
    'FREEHOLD_S3_DOWNLOADS',
    'S3_BUCKET',
    'S3_ENDPOINT',
    'S3_PORT',
    'S3_REGION',
    'S3_SECRETKEY',
    'S3_USESSL',
  ])
  expect(faults.join()).not.toContain('xxxx')
})

test('the keys show in no printed form of the configuration', () => {
  const config = good(whole)
  for (const text of [inspect(config, { depth: 9, showHidden: true }), JSON.stringify(config)]) {
    expect(text).not.toMatch(/AN-ACCESS|very-secret/)
  }
  expect(config.s3?.secretKey.reveal()).toBe('a-very-secret-key')
})
