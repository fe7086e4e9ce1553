/**
 * Networks that a stranger's address must not lead us into, as address and prefix length (IANA's special-purpose
 * registries, RFC 6890). Data only: `node:net`'s `BlockList` compares with them.
 */
export type Network = readonly [address: string, prefix: number]

/** Also where clouds tell machines their metadata; never to be dialled for somebody else. */
export const linkLocalNetworks: readonly Network[] = [
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
]

/** Everything that is not of the public internet, link-local networks among it. */
export const notPublicNetworks: readonly Network[] = [
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
  ['::', 128],
  ['::1', 128],
  ['64:ff9b:1::', 48],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
]
