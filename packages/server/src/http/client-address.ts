import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'
import type { Client } from './handler.ts'

/**
 * Tells who is at the other end. `X-Forwarded-For` is believed only from trusted proxies and read from its right
 * end, because everything left of the first stranger is what that stranger claims.
 * `trustedProxies`: addresses or CIDR ranges.
 */
export function createClientReader(trustedProxies: readonly string[]): (request: IncomingMessage) => Client {
  const trusted = blockListOf(trustedProxies)
  const isTrusted = (address: string) => trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return (request) => {
    let address = plainAddress(request.socket.remoteAddress ?? '')
    const forwarded = request.headers['x-forwarded-for']
    const hops = (Array.isArray(forwarded) ? forwarded.join(',') : (forwarded ?? '')).split(',').slice(-32)
    while (isIP(address) !== 0 && isTrusted(address)) {
      const previous = plainAddress(hops.pop()?.trim() ?? '')
      if (isIP(previous) === 0) break
      address = previous
    }
    return { address, userAgent: (request.headers['user-agent'] ?? '').slice(0, 200) }
  }
}

/** True for an address or a CIDR range. */
export function isAddressRange(text: string): boolean {
  const { address, bits, family } = splitRange(text)
  return (
    family !== 0 &&
    (bits === undefined || (Number.isInteger(bits) && bits >= 0 && bits <= (family === 6 ? 128 : 32))) &&
    isIP(address) !== 0
  )
}

function blockListOf(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const { address, bits, family } = splitRange(range)
    const type = family === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, type)
    else list.addSubnet(address, bits, type)
  }
  return list
}

function splitRange(range: string): { address: string; bits: number | undefined; family: number } {
  const [address = '', bits] = range.split('/')
  return {
    address,
    bits: bits === undefined ? undefined : Number(bits === '' ? Number.NaN : bits),
    family: isIP(address),
  }
}

/** An IPv4 peer on a dual-stack socket shows as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2). */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}
