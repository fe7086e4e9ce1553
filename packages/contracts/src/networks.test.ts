import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { linkLocalNetworks, type Network, notPublicNetworks } from './networks.ts'

const notPublic = listOf(notPublicNetworks)
const linkLocal = listOf(linkLocalNetworks)
/** An IPv4 address as IPv6 carries it: mapped, by NAT64, by 6to4, and as one once did. */
const carriedBy: readonly [name: string, carry: (high: string, low: string) => string][] = [
  ['mapped', (high, low) => `::ffff:${high}:${low}`],
  ['NAT64', (high, low) => `64:ff9b::${high}:${low}`],
  ['6to4', (high, low) => `2002:${high}:${low}::1`],
]
const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
const inside = fc.constantFrom('10', '127', '169.254', '172.16', '172.31', '192.168', '100.64', '0', '198.19', '224')

test.each(carriedBy)('an IPv4 address that is carried in IPv6 (%s) is what it is without', (_, carry) => {
  const withNetworks = fc.oneof(
    ipv4,
    fc.tuple(inside, ipv4).map(([start, rest]) => {
      const given = start.split('.').map(Number)
      return [...given, ...rest.slice(given.length)]
    }),
  )
  fc.assert(
    fc.property(withNetworks, ([one = 0, two = 0, three = 0, four = 0]) => {
      const plain = `${one}.${two}.${three}.${four}`
      const carried = carry((one * 256 + two).toString(16), (three * 256 + four).toString(16))
      expect(isIP(carried)).toBe(6)
      expect([carried, has(notPublic, carried), has(linkLocal, carried)]).toEqual([
        carried,
        has(notPublic, plain),
        has(linkLocal, plain),
      ])
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['64:ff9b::a9fe:a9fe', true],
  ['2002:a9fe:a9fe::', true],
  ['64:ff9b::a00:1', false],
  ['64:ff9b:1::1', false],
  ['::7f00:1', false],
  ['::', false],
  ['::1', false],
])('%s is not public; link-local: %s', (address, isLinkLocal) => {
  expect([has(notPublic, address), has(linkLocal, address)]).toEqual([true, isLinkLocal])
})

test.each(['64:ff9b::808:808', '2002:808:808::1', '::ffff:8.8.8.8', '2001:4860:4860::8888'])(
  '%s is public',
  (address) => {
    expect([has(notPublic, address), has(linkLocal, address)]).toEqual([false, false])
  },
)

function has(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function listOf(networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of networks) list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return list
}
