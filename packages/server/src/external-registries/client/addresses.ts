import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
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

const linkLocal = blockList([
  ['169.254.0.0', 16],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
])
const notPublic = blockList([
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
])

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

function blockList(subnets: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of subnets) list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return list
}
