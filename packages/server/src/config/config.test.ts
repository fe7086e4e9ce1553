import { describe, expect, test } from 'vitest'
import { readConfig, retentionOf, settingsReference } from './index.ts'
import { settings } from './settings.ts'
import { publicUrlOf } from './url.ts'

function good(environment: Record<string, string>) {
  const result = readConfig(environment)
  if ('faults' in result) throw new Error(result.faults.join('\n'))
  return result.config
}

function faultsOf(environment: Record<string, string>): string[] {
  const result = readConfig(environment)
  return 'faults' in result ? result.faults : []
}

test('nothing set is a whole configuration', () => {
  const config = good({})
  expect(config).toMatchObject({ port: 8080, bind: '0.0.0.0', sslMode: 'none', localCluster: true, logLevel: 'info' })
  expect(config.dataDirectory).toMatch(/^\/.*\/\.freehold$/)
  expect(config.trustedProxies).toEqual([])
})

test('an empty variable is one that is not set', () => {
  expect(good({ SERVEZONE_PORT: '', APP_SECRET: '' })).toMatchObject({ port: 8080, appSecret: undefined })
})

test('times of the garbage collection are whole numbers within their bounds', () => {
  const grace = (text: string) => ({ FREEHOLD_REGISTRY_GC_GRACE_HOURS: text })
  const period = (text: string) => ({ FREEHOLD_REGISTRY_GC_PERIOD_MINUTES: text })
  expect(good({})).toMatchObject({ registryGarbageGraceMs: 86_400_000, registryGarbagePeriodMs: 3_600_000 })
  expect(good({ ...grace('1'), ...period('10080') })).toMatchObject({
    registryGarbageGraceMs: 3_600_000,
    registryGarbagePeriodMs: 604_800_000,
  })
  for (const text of ['0', '8761', '1.5', '-1', '24h']) {
    expect(faultsOf(grace(text))[0], text).toMatch(/GRACE_HOURS is ".+" and must be a whole number from 1 to 8760/)
  }
  expect(faultsOf(period('10081'))).toHaveLength(1)
})

test('rules of the registry are whole only where they can be meant', () => {
  expect(retentionOf(good({}))).toBeNull()
  expect(good({})).toMatchObject({ registryQuotaBytes: undefined })
  const rules = good({
    FREEHOLD_REGISTRY_QUOTA_GIB: '2',
    FREEHOLD_REGISTRY_RETENTION_KEEP_LAST: '5',
    FREEHOLD_REGISTRY_RETENTION_KEEP_TAGS: 'v*, latest',
    FREEHOLD_REGISTRY_RETENTION_UNTAGGED_DAYS: '14',
  })
  expect(rules.registryQuotaBytes).toBe(2 * 1024 ** 3)
  expect(retentionOf(rules)).toEqual({ keepLastTags: 5, keepTags: ['v*', 'latest'], deleteUntaggedAfterDays: 14 })
  const wrong = {
    FREEHOLD_REGISTRY_QUOTA_GIB: '0',
    FREEHOLD_REGISTRY_RETENTION_KEEP_LAST: '0',
    FREEHOLD_REGISTRY_RETENTION_KEEP_TAGS: 'v*,,latest',
    FREEHOLD_REGISTRY_RETENTION_KEEP_DAYS: 'week',
    FREEHOLD_REGISTRY_RETENTION_UNTAGGED_DAYS: '1.5',
  }
  const faults = faultsOf(wrong).map((fault) => fault.split(' ')[0])
  expect([...new Set(faults)].toSorted()).toEqual(Object.keys(wrong).toSorted())
})

test('every fault is named at once, each with its variable', () => {
  const faults = faultsOf({
    SERVEZONE_PORT: '70000',
    SERVEZONE_URL: 'https://cloud.example.com/',
    SERVEZONE_SSLMODE: 'maybe',
    SERVEZONE_ADMINACCOUNT: 'admin',
    FREEHOLD_STORE_URL: 'mysql://x',
    APP_SECRET: 'short',
    FREEHOLD_LOCAL_CLUSTER: 'perhaps',
    DOCKER_HOST: 'ssh://x',
    FREEHOLD_TRUSTED_PROXIES: '10.0.0.0/99',
    FREEHOLD_LOG_LEVEL: 'loud',
    SERVEZONE_ENVIRONMENT: 'moon',
  })
  const named = new Set(faults.map((fault) => fault.split(' ')[0]))
  expect([...named].toSorted()).toEqual([
    'APP_SECRET',
    'DOCKER_HOST',
    'FREEHOLD_LOCAL_CLUSTER',
    'FREEHOLD_LOG_LEVEL',
    'FREEHOLD_STORE_URL',
    'FREEHOLD_TRUSTED_PROXIES',
    'SERVEZONE_ADMINACCOUNT',
    'SERVEZONE_ENVIRONMENT',
    'SERVEZONE_PORT',
    'SERVEZONE_SSLMODE',
    'SERVEZONE_URL',
  ])
})

test('faults of secrets never show the value', () => {
  const faults = faultsOf({
    SERVEZONE_ADMINACCOUNT: 'admin:hunter2',
    APP_SECRET: 'hunter2',
    FREEHOLD_STORE_URL: 'mysql://me:hunter2@db/x',
  })
  expect(faults).toHaveLength(3)
  expect(faults.join('\n')).not.toContain('hunter2')
})

test('letsencrypt is refused with what to do instead', () => {
  const [fault] = faultsOf({ SERVEZONE_SSLMODE: 'letsencrypt' })
  expect(fault).toContain('SERVEZONE_SSLMODE=external')
})

test('TLS done elsewhere needs the public name, and trusts a proxy on this machine', () => {
  expect(faultsOf({ SERVEZONE_SSLMODE: 'external' })[0]).toMatch(/^SERVEZONE_URL /)
  const config = good({ SERVEZONE_SSLMODE: 'external', SERVEZONE_URL: 'cloud.example.com' })
  expect(config.trustedProxies).toEqual(['127.0.0.1', '::1'])
})

test('the password of the first administrator may hold colons', () => {
  expect(good({ SERVEZONE_ADMINACCOUNT: 'admin:with:colons:inside' }).adminAccount).toEqual({
    username: 'admin',
    password: 'with:colons:inside',
  })
})

test('variables of ours that nobody knows are named, others are not our business', () => {
  const { warnings } = readConfig({ FREEHOLD_DATADIR: 'x', SERVEZONE_PROT: '1', PATH: '/bin', S3_BUCKET: 'b' })
  expect(warnings.map((warning) => warning.split(' ')[0])).toEqual(['FREEHOLD_DATADIR', 'SERVEZONE_PROT'])
})

test('the reference has a section for every setting, and no other', () => {
  const text = settingsReference()
  for (const setting of Object.values(settings))
    expect(text).toContain(`## \`${setting.variable}\`\n\n${setting.meaning}`)
  expect(text.split('\n').filter((line) => line.startsWith('## `'))).toHaveLength(Object.keys(settings).length)
})

test('the defaults the reference shows are those that are used', () => {
  for (const setting of Object.values(settings)) {
    if (setting.default === null || setting.variable === 'FREEHOLD_TRUSTED_PROXIES') continue
    expect(setting.schema.parse(undefined)).toEqual(setting.schema.parse(setting.default))
  }
})

describe('the public address', () => {
  test.each([
    [{ bind: '0.0.0.0' }, 'http://127.0.0.1:8080'],
    [{ bind: '::1' }, 'http://[::1]:8080'],
    [{ bind: '192.0.2.7' }, 'http://192.0.2.7:8080'],
    [{ bind: '0.0.0.0', hostname: 'cloud.example.com' }, 'http://cloud.example.com:8080'],
    [{ bind: '0.0.0.0', hostname: 'cloud.example.com:9000' }, 'http://cloud.example.com:9000'],
  ])('of %j without TLS is %s', (config, url) => {
    expect(publicUrlOf({ hostname: undefined, sslMode: 'none', ...config }, 8080)).toBe(url)
  })

  test('behind a proxy with TLS has no port of ours', () => {
    expect(publicUrlOf({ hostname: 'cloud.example.com', sslMode: 'external', bind: '0.0.0.0' }, 8080)).toBe(
      'https://cloud.example.com',
    )
  })
})
