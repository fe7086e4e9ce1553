import { expect, test } from 'vitest'
import { NotPostable, ourAppIn, targetWith } from './local-target.ts'
import { digestHexOf, localImage, numberFor, ourAppId, releaseIdOf } from './names.ts'
import { postableService } from './postable-service.ts'
import { releaseApp } from './release-app.ts'
import { digestOf, manifestOf } from './world.testing.ts'

const refuse = (what: string): never => {
  throw new NotPostable(what)
}
const posted = (config: object, service: object = {}) =>
  postableService(
    { serviceName: 'a', serviceId: 4, imageId: 5, imageName: 'a:1', config, ...service },
    {
      ...{ appId: '9', uuid: 'abc', refuse },
    },
  )

test('what the Supervisor added to a service is left out, and what people set is there in their own form', () => {
  const told = posted({
    environment: { KEPT: '1', BALENA: '1', BALENA_SUPERVISOR_API_KEY: 'secret', RESIN_APP_ID: '9', BALENA_OWN: 'x' },
    labels: { kept: '1', 'io.balena.app-id': '9', 'io.balena.features.gpu': '1' },
    volumes: [
      '9_data:/data:ro',
      '/image-volume',
      '/tmp/balena-supervisor/x:/tmp/balena',
      { type: 'bind', source: '/run/x' },
    ],
    deviceRequests: [{ Driver: '' }],
    devices: [{ PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'rwm' }],
    portMaps: [
      {
        ports: {
          internalStart: 80,
          internalEnd: 80,
          externalStart: 8080,
          externalEnd: 8080,
          host: '',
          protocol: 'tcp',
        },
      },
      { ports: { internalStart: 1, internalEnd: 3, externalStart: 11, externalEnd: 13, host: '::1', protocol: 'udp' } },
    ],
    networkMode: 'abc_front',
    networks: { abc_back: { aliases: ['a'] }, supervisor0: {}, abc_front: { ipv4Address: '10.0.0.2' } },
    healthcheck: { test: ['CMD', 'x'], interval: 1_500_000_000, startPeriod: 2_000_000_000, retries: 3 },
    memLimit: 1024,
    cpus: 500_000_000,
    stopGracePeriod: 12,
    restart: 'on-failure',
  })
  expect(told).toMatchObject({
    image: 'a:1',
    environment: { KEPT: '1', BALENA_OWN: 'x' },
    labels: { kept: '1', 'io.balena.features.gpu': '1' },
    volumes: ['data:/data:ro', '/image-volume'],
    devices: ['/dev/a:/dev/b:rwm'],
    ports: ['8080:80/tcp', '::1:11-13:1-3/udp'],
    healthcheck: { test: ['CMD', 'x'], interval: '1500ms', startPeriod: '2000ms', retries: 3 },
    mem_limit: '1024',
    cpus: 0.5,
    stop_grace_period: '12s',
    restart: 'on-failure',
  })
  expect(Object.keys(told.networks as object)).toEqual(['front', 'back'])
  expect(told).not.toHaveProperty('network_mode')
  expect(JSON.stringify(told)).not.toContain('secret')
})

test('a container in the network of the host stays there, and an image without its check stays without', () => {
  const told = posted({ networkMode: 'host', networks: {}, healthcheck: { test: ['NONE'] } })
  expect(told).toMatchObject({ network_mode: 'host', healthcheck: { disable: true } })
  expect(told).not.toHaveProperty('networks')
})

test.each([[{ futureSetting: [1] }], [{ deviceRequests: [{ Driver: 'nvidia' }] }]])('%o is refused', (config) => {
  expect(() => posted(config)).toThrow(NotPostable)
})

test.each([[{ futureSetting: [] }], [{ futureSetting: null }], [{ futureSetting: 0 }]])('%o says nothing', (config) => {
  expect(posted(config)).not.toHaveProperty('futureSetting')
})

test('applications of another source are left to it, and one that took our number is not replaced', () => {
  const app = releaseApp(manifestOf({ id: 1 }))
  const apps = {
    5: { appName: 'supervisor', source: 'https://api.example.com', services: [] },
    6: { appName: 'mine', source: 'local', commit: 'c', services: [{ serviceId: 1, releaseId: 3, config: {} }] },
  }
  const { local } = targetWith({ local: { name: 'd', config: { A: '1', SUPERVISOR_LOCAL_MODE: 'false' }, apps } }, app)
  expect(Object.keys(local.apps)).toEqual(['6', String(ourAppId)])
  expect(local.apps['6']).toMatchObject({ name: 'mine', commit: 'c', releaseId: 3 })
  expect(local.config).toEqual({ A: '1', SUPERVISOR_LOCAL_MODE: '1' })
  const foreign = { local: { apps: { [ourAppId]: { appName: 'other', services: [] } } } }
  expect(() => targetWith(foreign, app)).toThrow(NotPostable)
  expect(ourAppIn({ local: null })).toBeUndefined()
})

test('names lead back to what they were made from, and those of others do not', () => {
  const manifest = manifestOf({ id: 7 })
  const app = releaseApp(manifest)
  expect(releaseIdOf(app.commit)).toBe(manifest.releaseId)
  expect(releaseIdOf('localrelease')).toBeNull()
  expect(digestHexOf(localImage(digestOf('a')))).toBe('a'.repeat(64))
  expect(digestHexOf('local_image_main:latest')).toBeNull()
  for (const name of ['a', 'b', '']) expect(numberFor(name)).toBeGreaterThan(0)
  expect(numberFor('a')).toBe(numberFor('a'))
})
