import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from './config.ts'

test('nothing needs to be set; defaults are those the hosts know', () => {
  expect(readConfig({})).toMatchObject({
    cloudlyUrl: null,
    joinToken: null,
    nodeToken: null,
    nodeId: null,
    statePath: '/data/baseos/state.json',
    heartbeatIntervalMs: 60_000,
    supervisorAddress: null,
    supervisorApiKey: null,
    localApi: null,
    lockDirectory: '/tmp/balena',
    updateRootPath: null,
    deviceType: null,
    dockerHost: undefined,
    twoRootsDirectory: null,
    restartCommand: [],
    hostRoot: null,
    healthCommand: null,
  })
  expect(readConfig({ BASEOS_CLOUDLY_URL: '', BASEOS_JOIN_TOKEN: ' ' })).toEqual(readConfig({}))
})

test('every variable is read', () => {
  const config = readConfig({
    BASEOS_CLOUDLY_URL: 'https://cloud.example.com/base',
    BASEOS_JOIN_TOKEN: 'join-token-0123',
    BASEOS_NODE_TOKEN: 'node-token-0123',
    BASEOS_NODE_ID: 'kiosk-7',
    BASEOS_STATE_PATH: '/tmp/state.json',
    BASEOS_HEARTBEAT_INTERVAL_MS: '5000',
    BALENA_SUPERVISOR_ADDRESS: 'http://10.114.104.1:48484',
    BALENA_SUPERVISOR_API_KEY: 'key',
    BASEOS_LOCAL_API: 'unix:///run/baseos/agent.sock',
    BASEOS_UPDATE_ROOT: '/etc/baseos/root.json',
    BALENA_DEVICE_TYPE: 'raspberrypi4-64',
    BASEOS_TWO_ROOTS_DIR: '/roots',
    BASEOS_HOST_RESTART_COMMAND: '["/sbin/reboot", "--now or never"]',
    BASEOS_HOST_ROOT: '/host',
    BASEOS_HEALTH_COMMAND: '["/usr/bin/true"]',
    DOCKER_HOST: 'unix:///host/run/balena-engine.sock',
  })
  expect(config).toMatchObject({
    twoRootsDirectory: '/roots',
    restartCommand: ['/sbin/reboot', '--now or never'],
    hostRoot: '/host',
    healthCommand: ['/usr/bin/true'],
    dockerHost: 'unix:///host/run/balena-engine.sock',
  })
  expect(config).toMatchObject({ updateRootPath: '/etc/baseos/root.json', deviceType: 'raspberrypi4-64' })
  expect(config).toMatchObject({ nodeId: 'kiosk-7', statePath: '/tmp/state.json', heartbeatIntervalMs: 5000 })
  expect([config.cloudlyUrl?.href, config.supervisorAddress?.port]).toEqual(['https://cloud.example.com/base', '48484'])
  expect([config.joinToken, config.nodeToken, config.supervisorApiKey].map((secret) => secret?.reveal())).toEqual([
    'join-token-0123',
    'node-token-0123',
    'key',
  ])
  expect(config.localApi).toEqual({ kind: 'socket', path: '/run/baseos/agent.sock' })
  expect(config.localTokenPath).toBe('/run/baseos/agent.sock.token')
  expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toMatch(/token-0123|"key"|'key'/)
})

test('wrong settings name every fault at once, and repeat no value', () => {
  const wrong = {
    BASEOS_CLOUDLY_URL: 'https://user:password@example.com',
    BASEOS_JOIN_TOKEN: 'two words',
    BASEOS_NODE_ID: '../../etc',
    BASEOS_STATE_PATH: 'state.json',
    BASEOS_HEARTBEAT_INTERVAL_MS: '5s',
    BALENA_SUPERVISOR_ADDRESS: 'ftp://127.0.0.1',
    BASEOS_LOCAL_API: 'http://0.0.0.0:80',
    BASEOS_UPDATE_ROOT: 'root.json',
    BASEOS_DEVICE_TYPE: 'Raspberry Pi',
    BASEOS_TWO_ROOTS_DIR: 'two/roots',
    BASEOS_HOST_RESTART_COMMAND: 'systemctl reboot',
    BASEOS_HOST_ROOT: './host',
    BASEOS_HEALTH_COMMAND: '["true", 7]',
    BASEOS_LOG_LEVEL: 'shouting',
  }
  let message = ''
  try {
    readConfig(wrong)
  } catch (error) {
    message = (error as Error).message
  }
  for (const [name, value] of Object.entries(wrong)) {
    expect(message).toContain(`${name}: `)
    expect(message).not.toContain(value)
  }
})

test('a host with two roots must say what restarts it', () => {
  expect(() => readConfig({ BASEOS_TWO_ROOTS_DIR: '/roots' })).toThrow('BASEOS_HOST_RESTART_COMMAND: needed with')
})
