import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseConfig } from '../config/load.ts'
import type { BalenaRawConfig } from '../config/schema.ts'
import { deviceConfigOf, mergePatch, wifiConnectionOf } from './device-config.ts'
import { readFileSystem, readLogical, readPartitionTable, tableBytes } from './partitions.ts'
import { createStreamReader } from './reader.ts'

const configOf = (change: object) =>
  parseConfig({
    version: 1,
    kind: 'balena-raw',
    architecture: 'rpi',
    base: { path: 'a', unverified: true },
    ...change,
  }) as BalenaRawConfig

test('whatever bytes a disk begins with, its table is read or is none', () => {
  const disk = fc.uint8Array({ minLength: tableBytes, maxLength: tableBytes }).map((bytes) => {
    const sector = Buffer.from(bytes)
    sector.writeUInt16LE(0xaa55, 510)
    return sector
  })
  fc.assert(
    fc.property(disk, fc.boolean(), (bytes, isGpt) => {
      if (isGpt) {
        bytes[446 + 4] = 0xee
        bytes.write('EFI PART', 512)
        bytes.writeBigUInt64LE(2n, 512 + 72)
        bytes.writeUInt32LE(128, 512 + 84)
      }
      for (const partition of readPartitionTable(bytes)?.partitions ?? []) {
        expect(partition.sizeBytes).toBeGreaterThan(0)
        expect(partition.startBytes).toBeGreaterThanOrEqual(0)
      }
      readLogical(bytes.subarray(0, 512), { recordBytes: 512, extendedBytes: 512, number: 5 })
      readFileSystem(bytes)
    }),
  )
  expect(readPartitionTable(Buffer.alloc(tableBytes))).toBeUndefined()
})

test('a patch is applied as in RFC 7386', () => {
  expect(mergePatch({ a: 'b', c: { d: 'e', f: 'g' } }, { a: 'z', c: { f: null } })).toEqual({ a: 'z', c: { d: 'e' } })
  expect(mergePatch({ a: [1, 2] }, { a: [3] })).toEqual({ a: [3] })
  expect(mergePatch('text', { a: { b: null, c: 1 } })).toEqual({ a: { c: 1 } })
  const merged = mergePatch({}, JSON.parse('{"__proto__": {"polluted": true}}'))
  expect(Object.keys(merged as object)).toEqual(['__proto__'])
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})

test('the configuration of a device keeps what the image has and adds what is ours', () => {
  const config = configOf({ hostname: 'dev', config: { os: { connectivity: { uri: 'https://x' } }, old: null } })
  expect(JSON.parse(deviceConfigOf('{"deviceType":"rpi","old":1,"os":{"a":1}}', config))).toEqual({
    deviceType: 'rpi',
    hostname: 'dev',
    os: { a: 1, connectivity: { uri: 'https://x' } },
  })
  expect(() => deviceConfigOf('{', config)).toThrow(/config.json of the base image is not JSON/)
})

test('a wireless connection holds the name as bytes and never the passphrase', async () => {
  const text = await wifiConnectionOf({ ssid: "B's", passphrase: 'psk=x\\"[]#;', hidden: true })
  expect(text).toContain('ssid=66;39;115;\nhidden=true\n')
  expect(text).toMatch(/\npsk=[0-9a-f]{64}\n/)
  expect(text).not.toContain('psk=x')
})

test('a stream is read forwards, whatever its chunks are', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 10 }),
      fc.array(fc.tuple(fc.nat(30), fc.nat(30)), { maxLength: 6 }),
      async (chunks, steps) => {
        const whole = Buffer.concat(chunks)
        const reader = createStreamReader(
          (async function* () {
            for (const chunk of chunks) yield Buffer.from(chunk)
          })(),
        )
        let position = 0
        for (const [skip, size] of steps) {
          const [from, to] = [position + skip, position + skip + size]
          if (to > whole.length) {
            await expect(reader.read(from, to - from)).rejects.toThrow(/truncated/)
            return
          }
          expect(await reader.read(from, size)).toEqual(whole.subarray(from, to))
          position = to
        }
      },
    ),
  )
})
