import { expect, test } from 'vitest'
import { runsIn } from './image-contents.ts'

test('what runs an image is services with their revision, and releases of devices', () => {
  const service = { serviceId: 's', serviceName: 'web', revisionId: 'r' }
  const deployments = [
    { ...service, revisionNumber: 3, current: true },
    { ...service, revisionNumber: 2, current: false },
  ]
  const releases = [
    { releaseId: 'a', product: 'shop', version: '1.2.0', deviceType: null },
    { releaseId: 'b', product: 'baseos', version: '3.0.0', deviceType: 'generic-amd64' },
  ]
  expect(runsIn({ deployments, releases })).toBe('web/3, web/2 (kept), release shop 1.2.0, release baseos 3.0.0')
  expect(runsIn({ deployments: [], releases: [] })).toBe('')
})
