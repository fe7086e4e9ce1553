import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createClientReader, isAddressRange } from './client-address.ts'

function requestFrom(remoteAddress: string, forwarded?: string): IncomingMessage {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  return { socket: { remoteAddress }, headers } as unknown as IncomingMessage
}

const behind = createClientReader(['127.0.0.1', '10.0.0.0/8', '::1'])

test.each([
  ['nothing forwarded', '127.0.0.1', undefined, '127.0.0.1'],
  ['a client behind one proxy', '127.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['a client that claims to be another', '127.0.0.1', '1.1.1.1, 203.0.113.9', '203.0.113.9'],
  ['a client behind two proxies', '127.0.0.1', '203.0.113.9, 10.1.2.3', '203.0.113.9'],
  ['a stranger that claims to be a proxy', '203.0.113.9', '127.0.0.1', '203.0.113.9'],
  ['a mapped IPv4 address', '::ffff:127.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['garbage', '127.0.0.1', 'unknown, "x', '127.0.0.1'],
  ['an IPv6 proxy', '::1', '2001:db8::1', '2001:db8::1'],
])('%s', (_, remote, forwarded, expected) => {
  expect(behind(requestFrom(remote, forwarded)).address).toBe(expected)
})

test('without trusted proxies nobody is believed', () => {
  expect(createClientReader([])(requestFrom('127.0.0.1', '203.0.113.9')).address).toBe('127.0.0.1')
})

test('whatever a stranger sends, he stays who he is', () => {
  fc.assert(
    fc.property(fc.string(), (forwarded) => {
      expect(behind(requestFrom('203.0.113.9', forwarded)).address).toBe('203.0.113.9')
    }),
  )
})

test.each(['10.0.0.0/8', '127.0.0.1', '::1', '2001:db8::/32'])('%s is a range', (text) => {
  expect(isAddressRange(text)).toBe(true)
})
test.each(['10.0.0.0/33', 'localhost', '', '10.0.0.0/', '::/129', '10.0.0.0/x'])('%s is no range', (text) => {
  expect(isAddressRange(text)).toBe(false)
})
