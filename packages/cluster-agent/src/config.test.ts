import { expect, test } from 'vitest'
import { readConfig } from './config.ts'

test('two settings are enough', () => {
  expect(readConfig({ CLOUDLY_URL: 'http://127.0.0.1:8080', JUMPCODE: 'abcdefgh' })).toMatchObject({
    controlPlaneUrl: 'http://127.0.0.1:8080',
    engineAddress: 'unix:///var/run/docker.sock',
    directory: '/var/lib/freehold-agent',
    swarm: { init: true, advertiseAddress: '127.0.0.1' },
  })
})

test('wrong settings stop the start; every fault is named at once, and no value is repeated', () => {
  const wrong = {
    CLOUDLY_URL: 'ftp://user:password@example.com',
    JUMPCODE: 'short',
    DOCKER_HOST: 'ssh://somewhere',
    FREEHOLD_SWARM_INIT: 'maybe',
    FREEHOLD_SWARM_ADVERTISE_ADDR: '-x; reboot',
  }
  let message = ''
  try {
    readConfig(wrong)
  } catch (error) {
    message = (error as Error).message
  }
  for (const [name, value] of Object.entries(wrong)) {
    expect(message).toContain(`${name}:`)
    expect(message).not.toContain(value)
  }
})

test('a missing address of the control plane is called missing', () => {
  expect(() => readConfig({})).toThrow('CLOUDLY_URL: is not set')
})
