import { buildInput, type CorebuildJob, corebuildJobSchema, type FreeholdError } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sshKey } from '../worker.testing.ts'
import { planJob } from './plan.ts'

const base = { url: 'https://images.example.com/base.iso', sha256: 'a'.repeat(64) }
const job = (change: Record<string, unknown> = {}): CorebuildJob =>
  corebuildJobSchema.parse({
    id: 'build-123',
    architecture: 'amd64',
    imageKind: 'ubuntu-iso',
    cloudlyUrl: 'https://cloudly.example.com',
    provisioningToken: 'one-time-baseos-token',
    agent: { url: 'https://cloudly.example.com/agent.tar.gz', sha256: 'b'.repeat(64) },
    upload: { url: 'https://cloudly.example.com/upload', token: 'a-token' },
    ...change,
  })
const raw = (change: Record<string, unknown> = {}) =>
  job({ imageKind: 'balena-raw', sourceImageUrl: base.url, agent: undefined, ...change })
const plan = (given: CorebuildJob) => planJob(given, { agentInstall: 'as-asked' })
const failureOf = (given: CorebuildJob): FreeholdError => {
  try {
    plan(given)
  } catch (error) {
    return error as FreeholdError
  }
  throw new Error('The job was taken.')
}

describe('a job for an installer', () => {
  test('becomes a configuration of the image tool, with what the device needs', () => {
    const planned = plan(
      job({
        hostname: 'box',
        sshUser: 'ops',
        sshPublicKey: `${sshKey}\n`,
        wifi: { ssid: 'shop', passphrase: 'long enough' },
      }),
    )
    expect(planned.filename).toBe('box.iso')
    expect(planned.base).toEqual({ ubuntu: '24.04', architecture: 'amd64' })
    expect(planned.configFor(base)).toMatchObject({
      kind: 'ubuntu-iso',
      base,
      ubuntuVersion: '24.04',
      hostname: 'box',
      user: { name: 'ops', sshKeys: [sshKey] },
      wifi: { ssid: 'shop', passphrase: 'long enough', hidden: false },
      output: { path: 'output/box.iso' },
      files: [
        {
          path: '/etc/baseos/baserunner.env',
          mode: '0600',
          content:
            'BASEOS_CLOUDLY_URL=https://cloudly.example.com\nBASEOS_JOIN_TOKEN=one-time-baseos-token\nBASEOS_STATE_PATH=/var/lib/baseos/state.json\nBASEOS_HEARTBEAT_INTERVAL_MS=60000\n',
        },
        { path: '/opt/baseos/device-agent.tar.gz', source: 'device-agent.tar.gz' },
      ],
      units: [{ name: 'baseos-baserunner.service', enable: true }],
      installScript: expect.stringContaining(
        `echo '${'b'.repeat(64)}  /opt/baseos/device-agent.tar.gz' | sha256sum --check`,
      ),
    })
  })

  test('from a base of its own may be of any version, unless it says of which', () => {
    const versionOf = (change: Record<string, unknown>) => {
      const config = plan(job({ sourceImageUrl: base.url, ...change })).configFor(base)
      return config.kind === 'ubuntu-iso' ? config.ubuntuVersion : 'no installer'
    }
    expect(versionOf({})).toBeUndefined()
    expect(versionOf({ ubuntuVersion: '22.04' })).toBe('22.04')
    expect(versionOf({ sourceImageUrl: undefined })).toBe('24.04')
  })

  test('of a caller that knows of no agent checks it out, unless the worker takes archives alone', () => {
    const { installScript, files, units } = plan(job({ agent: undefined })).configFor(base) as never as {
      installScript: string
      files: unknown[]
      units: { content: string }[]
    }
    expect(installScript).toContain('git clone --depth 1 https://code.foss.global/serve.zone/baseos.git /opt/baseos')
    expect(files).toHaveLength(1)
    expect(units[0]?.content).toContain('deno run')
    const strict = () => planJob(job({ agent: undefined }), { agentInstall: 'artifact' })
    expect(strict).toThrow(/job\.agent: is needed/)
    const git = planJob(job(), { agentInstall: 'git' })
    expect(git.agent).toBeNull()
  })

  test('gets a host name from its id', () => {
    const names = ['build-123', 'Build_9.', '-'.padStart(64, 'x')].map((id) => {
      const config = plan({ ...job(), id }).configFor(base)
      return config.hostname
    })
    expect(names).toEqual(['baseos-build-123', 'baseos-build-9', `baseos-${'x'.repeat(50)}`])
  })
})

describe('a job for a disk', () => {
  test('becomes a configuration of the image tool', () => {
    const planned = plan(raw({ architecture: 'rpi', hostname: 'shop-12', sourceImageSha256: 'c'.repeat(64) }))
    expect(planned.filename).toBe('shop-12.img.xz')
    expect(planned.base).toEqual({ url: base.url, sha256: 'c'.repeat(64) })
    expect(planned.configFor(base)).toMatchObject({
      kind: 'balena-raw',
      architecture: 'rpi',
      hostname: 'shop-12',
      compression: 'xz',
      config: { baseos: { cloudlyUrl: 'https://cloudly.example.com', joinToken: 'one-time-baseos-token' } },
      files: [{ partition: 'boot', path: '/baseos/baserunner.env', mode: '0600' }],
    })
  })
})

const s3 = { endpoint: 's3.example.com', accessKey: 'key', accessSecret: 'a secret', bucketName: 'images' }

describe('what is wrong', () => {
  test.each<[string, CorebuildJob]>([
    ['architecture', job({ architecture: 'rpi' })],
    ['sourceImageUrl', raw({ sourceImageUrl: undefined })],
    ['ubuntuVersion', job({ ubuntuVersion: '24.04; reboot' })],
    ['ubuntuVersion', job({ ubuntuVersion: '../24.04' })],
    ['hostname', job({ hostname: 'box\nevil' })],
    ['hostname', job({ hostname: 'box"$(x)' })],
    ['hostname', raw({ hostname: 'a b' })],
    ['sshUser', job({ sshUser: 'root' })],
    ['sshUser', job({ sshUser: 'a:b' })],
    ['sshPublicKey', job({ sshPublicKey: `${sshKey}\n${sshKey}` })],
    ['sshPublicKey', raw({ sshPublicKey: 'ssh-ed25519 "AAAA' })],
    ['wifi.ssid', job({ wifi: { ssid: 'a\nb' } })],
    ['wifi.ssid', raw({ wifi: { ssid: 'a"b' } })],
    ['wifi.passphrase', job({ wifi: { ssid: 'shop', passphrase: 'short' } })],
    ['wifi.passphrase', job({ wifi: { ssid: 'shop', passphrase: 'long enough\n' } })],
    ['cloudlyUrl', job({ cloudlyUrl: 'https://user:word@cloudly.example.com' })],
    ['cloudlyUrl', job({ cloudlyUrl: 'https://cloudly.example.com/?a=b' })],
    ['cloudlyUrl', job({ cloudlyUrl: 'https://cloudly.example.com/$HOME' })],
    ['provisioningToken', job({ provisioningToken: 'token\nBASEOS_NODE_ID=other' })],
    ['provisioningToken', job({ provisioningToken: '"token"' })],
    ['upload.token', job({ upload: { url: base.url, token: 'a\r\nx-header: b' } })],
    ['upload', job({ s3Descriptor: s3, artifactKey: 'a.iso' })],
    ['s3Descriptor', job({ upload: undefined })],
    ['artifactKey', job({ upload: undefined, s3Descriptor: s3 })],
    ['artifactKey', job({ upload: undefined, s3Descriptor: s3, artifactKey: '../../etc/passwd' })],
    ['artifactKey', job({ upload: undefined, s3Descriptor: s3, artifactKey: '/a' })],
    ['artifactKey', job({ upload: undefined, s3Descriptor: s3, artifactKey: 'a\n.iso' })],
    [
      's3Descriptor.bucketName',
      job({ upload: undefined, s3Descriptor: { ...s3, bucketName: '../a' }, artifactKey: 'a' }),
    ],
    ['s3Descriptor.endpoint', job({ upload: undefined, s3Descriptor: { ...s3, endpoint: 'a/b?c' }, artifactKey: 'a' })],
  ])('%s is named, and its value not repeated', (field, given) => {
    const failure = failureOf(given)
    expect(failure.code).toBe('invalid-input')
    expect(failure.details.map(({ path }) => path)).toContain(`job.${field}`)
    expect(failure.message).toContain(`job.${field}`)
    expect(failure.message).not.toMatch(/evil|reboot|HOME|NODE_ID|passwd/)
  })
})

test('what the control plane takes of people makes a job that is taken: who errs hears it at once', () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 70 }),
    fc.string({ unit: fc.constantFrom(...'aZ09-._ "\'\\$\n\0'), minLength: 1, maxLength: 34 }),
    fc.stringMatching(/^[a-z0-9-]{1,33}$/),
    fc.constantFrom('24.04', '22.04.5', sshKey, `${sshKey}\n`, 'correct "horse" battery', 'Café', 'root'),
  )
  const fields = ['hostname', 'sshUser', 'sshPublicKey', 'ubuntuVersion', 'ssid', 'passphrase'] as const
  const taken = new Set<string>()
  fc.assert(
    fc.property(fc.constantFrom(...fields), text, fc.boolean(), (field, value, isRaw) => {
      const isWifi = field === 'ssid' || field === 'passphrase'
      const change = isWifi ? { wifi: { ssid: 'shop', passphrase: 'long enough', [field]: value } } : { [field]: value }
      const imageKind = isRaw ? 'balena-raw' : 'ubuntu-iso'
      const input = buildInput.safeParse({ imageKind, architecture: 'arm64', ...change })
      if (!input.success) return
      taken.add(field)
      const { hostname, sshUser, sshPublicKey, wifi, ...rest } = input.data
      const given = {
        ...(hostname === null ? {} : { hostname }),
        ...(sshPublicKey === null ? {} : { sshPublicKey }),
        ...(wifi === null ? {} : { wifi: { ...wifi, passphrase: wifi.passphrase ?? undefined } }),
        ...(isRaw ? { compression: rest.compression } : { sshUser, ubuntuVersion: rest.ubuntuVersion }),
        heartbeatIntervalMs: rest.heartbeatIntervalMs,
      }
      const made = { imageKind, architecture: 'arm64', ...given }
      expect(() => plan(isRaw ? raw(made) : job(made)).configFor(base)).not.toThrow()
    }),
    { numRuns: 2000 },
  )
  expect([...taken].toSorted()).toEqual([...fields].toSorted())
})

test('whatever a job holds, it is refused by the name of its field or stays one line in every file', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.string({ unit: fc.constantFrom(...'ab1.-_/\\"\'$`;&|<>(){}#%\n\r\t\0 ='), maxLength: 40 }),
    fc.constantFrom('box', 'ops', 'long enough', sshKey, '../x', 'a\nb', '\\;', '--- evil', '$' + '{grub}'),
  )
  const fields = [
    'hostname',
    'sshUser',
    'sshPublicKey',
    'provisioningToken',
    'ubuntuVersion',
    'ssid',
    'passphrase',
  ] as const
  fc.assert(
    fc.property(fc.constantFrom(...fields), hostile, fc.boolean(), (field, value, isRaw) => {
      const change =
        field === 'ssid' || field === 'passphrase'
          ? { wifi: { ssid: 'shop', passphrase: 'long enough', [field]: value } }
          : { [field]: value }
      const parsed = corebuildJobSchema.safeParse({ ...(isRaw ? raw() : job()), ...change })
      if (!parsed.success) return
      let config: ReturnType<ReturnType<typeof plan>['configFor']>
      try {
        config = plan(parsed.data).configFor(base)
      } catch (error) {
        const { code, details } = error as FreeholdError
        expect(code).toBe('invalid-input')
        expect(details.every(({ path }) => path.startsWith('job.') && path.endsWith(field))).toBe(true)
        return
      }
      const [file] = config.files
      expect(file?.content?.split('\n')).toHaveLength(5)
      expect(file?.content).toMatch(/^(BASEOS_[A-Z_]+=[A-Za-z0-9._~+/=:@-]*\n){4}$/)
      expect(config.hostname ?? 'x').toMatch(/^[A-Za-z0-9.-]+$/)
      expect(config.output?.path).toMatch(/^output\/[A-Za-z0-9][A-Za-z0-9-]*\.[a-z.]+$/)
    }),
    { numRuns: 500 },
  )
})
