import type { IncomingHttpHeaders } from 'node:http'
import { FreeholdError } from '@freehold/contracts'

/**
 * Refuses requests that another site made a browser send (Fetch Metadata, W3C; RFC 6454 for Origin).
 * A request that a cookie vouches for must prove that it comes from our own pages; any other is refused only if its
 * browser says that it does not.
 */
export function refuseForeignOrigin(headers: IncomingHttpHeaders, options: { byCookie: boolean }): void {
  const site = headers['sec-fetch-site']
  if (site === 'same-origin') return
  if (site !== undefined && site !== 'none') throw foreign()
  const { origin } = headers
  if (origin !== undefined) {
    if (hostOf(origin) !== headers.host?.toLowerCase()) throw foreign()
    return
  }
  if (options.byCookie) throw foreign()
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function foreign(): FreeholdError {
  return new FreeholdError(
    'forbidden',
    'A session cookie counts only on requests from the dashboard itself; other clients send a bearer token.',
  )
}
