import type { ServerResponse } from 'node:http'

/**
 * What our own pages may do: load and talk to this origin only, never be framed, run no inline script. Inline styles
 * are allowed, because dialogs and terminals in the dashboard make style elements while they run.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Set on every answer, whoever makes it. `secure`: browsers reach us by HTTPS, and shall go on to. */
export function setSecurityHeaders(response: ServerResponse, options: { secure: boolean }): void {
  response.setHeader('content-security-policy', contentSecurityPolicy)
  response.setHeader('x-content-type-options', 'nosniff')
  response.setHeader('referrer-policy', 'no-referrer')
  response.setHeader('x-frame-options', 'DENY')
  response.setHeader('cross-origin-opener-policy', 'same-origin')
  response.setHeader('cross-origin-resource-policy', 'same-origin')
  response.setHeader('permissions-policy', 'camera=(), microphone=(), geolocation=(), payment=(), usb=()')
  if (options.secure) response.setHeader('strict-transport-security', 'max-age=31536000')
}
