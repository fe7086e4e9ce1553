/**
 * Networks that a stranger's address must not lead us into, as address and prefix length (IANA's special-purpose
 * registries, RFC 6890). Data only: `node:net`'s `BlockList` compares with them.
 */
export type Network = readonly [address: string, prefix: number]

const notPublicIpv4: readonly Network[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
]

/** Also where clouds tell machines their metadata; never to be dialled for somebody else. */
export const linkLocalNetworks: readonly Network[] = [
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
  ...carried('169.254.0.0', 16),
]

/** Everything that is not of the public internet, link-local networks among it. */
export const notPublicNetworks: readonly Network[] = [
  ...notPublicIpv4,
  ...notPublicIpv4.flatMap(([address, prefix]) => carried(address, prefix)),
  // The addresses of none and of this machine, and IPv4 in the form that RFC 4291 section 2.5.5.1 gave up.
  ['::', 96],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
]

/**
 * The same addresses where IPv6 carries IPv4, so that a gateway leads to them: NAT64 (RFC 6052 section 2.1) and 6to4
 * (RFC 3056 section 2). What is mapped (`::ffff:0:0/96`) is no other address to `BlockList`.
 */
function carried(address: string, prefix: number): Network[] {
  const [one = 0, two = 0, three = 0, four = 0] = address.split('.').map(Number)
  const high = (one * 256 + two).toString(16)
  const low = (three * 256 + four).toString(16)
  return [
    [`64:ff9b::${high}:${low}`, 96 + prefix],
    [`2002:${high}:${low}::`, 16 + prefix],
  ]
}
