import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { FreeholdError, linkLocalNetworks, type Network, notPublicNetworks } from '@freehold/contracts'

/**
 * Which addresses a job may make this worker dial. Whoever writes a job chooses them, and must not reach through the worker
 * into the network it stands in: private and loopback addresses are refused but for `homes`, link-local ones always
 * (cloud metadata lives there).
 */
export interface AddressRule {
  /** Throws `invalid-input` for an address that is written out and may not be dialled. */
  check(url: URL): void
  /** For sockets: the addresses of a name, refused where one of them may not be dialled. */
  lookupFor(url: URL): LookupFunction
}

const linkLocal = blockList(linkLocalNetworks)
const notPublic = blockList(notPublicNetworks)

/** `homes`: hosts with their ports, as URLs have them. */
export function createAddressRule({
  homes,
  allowsPrivate,
}: {
  homes: readonly string[]
  allowsPrivate: boolean
}): AddressRule {
  const refuse = (address: string, url: URL): void => {
    if (!contains(notPublic, address)) return
    if (contains(linkLocal, address)) {
      throw new FreeholdError(
        'invalid-input',
        `${url.host} has a link-local address, which no build worker dials: metadata of clouds live there.`,
      )
    }
    if (allowsPrivate || homes.includes(url.host)) return
    throw new FreeholdError(
      'invalid-input',
      `${url.host} has an address inside a private network, which this build worker does not dial. Its operator may allow it: COREBUILD_ALLOW_PRIVATE_SOURCES=on.`,
    )
  }
  return {
    check(url) {
      const host = url.hostname.replace(/^\[|\]$/g, '')
      if (isIP(host) !== 0) refuse(host, url)
    },
    lookupFor: (url) => (hostname, options, callback) => {
      addressesOf(hostname, options)
        .then((found) => {
          for (const { address } of found) refuse(address, url)
          const [first] = found
          if (options.all === true) callback(null, found)
          else callback(null, first?.address ?? '', first?.family)
        })
        .catch((error: NodeJS.ErrnoException) => callback(error, []))
    },
  }
}

function addressesOf(hostname: string, options: LookupOptions): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { ...options, all: true }, (error, found) => (error ? reject(error) : resolve(found)))
  })
}

/** IPv4 addresses mapped into IPv6 are those of IPv4 here: `BlockList` sees to it. */
function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function blockList(networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of networks) list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return list
}
