import { expect, test } from 'vitest'
import { newestOf } from './ubuntu.ts'

const line = (digit: string, name: string) => `${digit.repeat(64)} *${name}`
const list = [
  line('a', 'ubuntu-24.04.2-live-server-amd64.iso'),
  line('b', 'ubuntu-24.04.10-live-server-amd64.iso'),
  line('c', 'ubuntu-24.04.9-live-server-amd64.iso'),
  line('d', 'ubuntu-24.04.10-desktop-amd64.iso'),
  line('e', 'ubuntu-24.04.10-live-server-arm64.iso'),
  line('f', '../ubuntu-24.04.11-live-server-amd64.iso'),
  'no line of a list',
].join('\n')

test.each([
  ['24.04', 'amd64', 'ubuntu-24.04.10-live-server-amd64.iso'],
  ['24.04.2', 'amd64', 'ubuntu-24.04.2-live-server-amd64.iso'],
  ['24.04', 'arm64', 'ubuntu-24.04.10-live-server-arm64.iso'],
  ['22.04', 'amd64', undefined],
  ['24.0', 'amd64', undefined],
])('of %s for %s the newest live-server image is taken', (version, architecture, filename) => {
  expect(newestOf(list, { version, architecture })?.filename).toBe(filename)
})
