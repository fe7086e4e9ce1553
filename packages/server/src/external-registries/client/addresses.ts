import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { linkLocalNetworks, type Network, notPublicNetworks } from '@freehold/contracts'
import { UpstreamError } from './errors.ts'

/**
 * Where a registry may send us. The administrator chose its own address, whatever that is. A redirect or a token
 * service elsewhere is the registry's choice, so that it must not lead into the network behind us:
 *
 * - never to a link-local address (cloud metadata lives there);
 * - to a loopback or private address only where the registry's own address is not public either;
 * - to http:// only where the registry itself is spoken to by http://.
 */
export interface AddressRules {
  /** Throws `refused-address` for a scheme or a literal address that may not be asked. */
  check(url: URL): Promise<void>
  /** For sockets: the addresses of a name, refused where one of them may not be asked. */
  lookupFor(url: URL): LookupFunction
}

const linkLocal = blockList(linkLocalNetworks)
const notPublic = blockList(notPublicNetworks)

/** `home`: the address the administrator gave. */
export function createAddressRules(home: URL): AddressRules {
  let homeIsPublic: Promise<boolean> | undefined
  const isHome = (url: URL) => url.host === home.host && url.protocol === home.protocol
  const publicHome = () => {
    homeIsPublic ??= addressesOf(bare(home)).then(
      (found) => found.every(({ address }) => !contains(notPublic, address)),
      () => true,
    )
    return homeIsPublic
  }
  const refuse = async (address: string, host: string): Promise<void> => {
    if (!contains(notPublic, address)) return
    if (!contains(linkLocal, address) && !(await publicHome())) return
    throw new UpstreamError(
      'refused-address',
      `${home.host} sends us on to ${host}, an address inside a private network; that is not followed.`,
    )
  }

  return {
    async check(url) {
      if (isHome(url)) return
      if (url.protocol !== 'https:' && !(url.protocol === 'http:' && home.protocol === 'http:')) {
        throw new UpstreamError(
          'refused-address',
          `${home.host} sends us on to ${url.protocol}//, which is not followed.`,
        )
      }
      const host = bare(url)
      if (isIP(host) !== 0) await refuse(host, url.host)
    },
    lookupFor: (url) => (hostname, options, callback) => {
      addressesOf(hostname, options)
        .then(async (found) => {
          if (!isHome(url)) for (const { address } of found) await refuse(address, url.host)
          const [first] = found
          if (options.all === true) callback(null, found)
          else callback(null, first?.address ?? '', first?.family)
        })
        .catch((error: NodeJS.ErrnoException) => callback(error, []))
    },
  }
}

function addressesOf(hostname: string, options: LookupOptions = {}): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { ...options, all: true }, (error, found) => (error ? reject(error) : resolve(found)))
  })
}

/** IPv6 literals stand in brackets in a URL. */
function bare(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

function contains(list: BlockList, address: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return list.check(mapped, 'ipv4')
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function blockList(networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of networks) list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return list
}
