import { releaseInput } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { emptyDraft, emptyService, inputOf } from './draft.ts'

const service = { ...emptyService(0), name: 'web', image: ' shop/web:1.0.0 ' }

test('lines become ports, volumes, variables and labels as the contract wants them', () => {
  const { input, faults } = inputOf({
    ...emptyDraft(),
    product: 'shop',
    version: '1.0.0',
    deviceTypes: 'raspberrypi4-64\n\n generic-amd64',
    services: [
      {
        ...service,
        ports: '80:8080\n 53:53/udp',
        volumes: 'data:/data',
        environment: 'MODE=shop\nURL=http://a/?b=c',
        command: 'serve\n--port=8080',
        labels: 'io.balena.features.supervisor-api=1',
      },
    ],
  })
  expect(faults).toEqual({})
  expect(releaseInput.parse(input)).toMatchObject({
    deviceTypes: ['raspberrypi4-64', 'generic-amd64'],
    host: null,
    services: [
      {
        image: 'shop/web:1.0.0',
        ports: [
          { host: 80, container: 8080, protocol: 'tcp' },
          { host: 53, container: 53, protocol: 'udp' },
        ],
        volumes: [{ name: 'data', path: '/data' }],
        environment: { MODE: 'shop', URL: 'http://a/?b=c' },
        command: ['serve', '--port=8080'],
        labels: { 'io.balena.features.supervisor-api': '1' },
      },
    ],
  })
})

test('a line nobody can read is a fault of its field, and nothing else', () => {
  const { faults } = inputOf({
    ...emptyDraft(),
    services: [service, { ...service, ports: 'http', volumes: '/data', environment: 'MODE' }],
  })
  expect(Object.keys(faults).toSorted()).toEqual([
    'data.services.1.environment',
    'data.services.1.ports',
    'data.services.1.volumes',
  ])
})

test('a host release is one of baseos, has no containers, and leaves out what was left empty', () => {
  const { input } = inputOf({
    ...emptyDraft(),
    type: 'host',
    product: 'typed before',
    version: '2.0.0',
    hostDeviceType: 'raspberrypi4-64',
    hostapp: 'baseos/hostapp:2.0.0',
  })
  expect(releaseInput.parse(input)).toMatchObject({
    product: 'baseos',
    services: [],
    host: { deviceType: 'raspberrypi4-64', baserunner: null, minimumVersion: null, licenseBundle: null },
  })
})
