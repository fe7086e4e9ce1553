import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig } from './config.ts'

test('without variables it is what the document says', () => {
  expect(readConfig({})).toEqual({
    host: undefined,
    port: 3060,
    token: null,
    workFolder: `${process.cwd()}/.nogit/workdir`,
    workerId: expect.stringMatching(new RegExp(`-${process.pid}$`)),
    toolCommand: null,
    maxRunningJobs: 1,
    maxWaitingJobs: 4,
    jobTimeoutMs: 7_200_000,
    cacheBytes: 32 * 1024 ** 3,
    memoryBytes: null,
    agentInstall: 'as-asked',
    ubuntuMirror: { amd64: 'https://releases.ubuntu.com', arm64: 'https://cdimage.ubuntu.com/releases' },
    allowsPrivateAddresses: false,
  })
})

test('every fault is named at once, and no value', () => {
  const wrong = () =>
    readConfig({
      COREBUILD_PORT: '70000',
      COREBUILD_TOKEN: 'has a space',
      COREBUILD_MAX_JOBS: '0',
      COREBUILD_MEMORY_BYTES: '512M',
      COREBUILD_AGENT_INSTALL: 'curl',
      COREBUILD_UBUNTU_MIRROR: 'ftp://mirror.example.com',
      ISO_CREATOR_COMMAND: 'isocreator "open',
    })
  for (const name of ['PORT', 'TOKEN', 'MAX_JOBS', 'MEMORY_BYTES', 'AGENT_INSTALL', 'UBUNTU_MIRROR']) {
    expect(wrong).toThrow(new RegExp(`COREBUILD_${name}: .`))
  }
  expect(wrong).toThrow(/ISO_CREATOR_COMMAND/)
  expect(wrong).not.toThrow(/has a space|70000|curl|ftp:/)
})

test('what is given is taken, and the token is not shown', () => {
  const config = readConfig({
    COREBUILD_PORT: '0',
    COREBUILD_TOKEN: 'shared-token',
    COREBUILD_WORKER_ID: '',
    COREBUILD_UBUNTU_MIRROR: 'http://mirror.example.com/ubuntu/',
    ISO_CREATOR_COMMAND: 'deno run ../isocreator/mod.ts',
  })
  expect(config).toMatchObject({
    port: 0,
    toolCommand: ['deno', 'run', '../isocreator/mod.ts'],
    ubuntuMirror: { amd64: 'http://mirror.example.com/ubuntu', arm64: 'http://mirror.example.com/ubuntu' },
  })
  expect(config.token?.reveal()).toBe('shared-token')
  expect(inspect(config) + JSON.stringify(config) + String(config.token)).not.toContain('shared-token')
})
