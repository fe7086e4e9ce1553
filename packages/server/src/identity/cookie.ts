const name = 'freehold_session'

/** The session in a Cookie header (RFC 6265 §5.4), if there is one. */
export function readSessionCookie(header: string | undefined): string | undefined {
  for (const part of (header ?? '').split(';')) {
    const at = part.indexOf('=')
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim()
  }
  return undefined
}

/** A Set-Cookie value; an empty `value` removes the cookie. No script reads it and no other site makes it come along. */
export function sessionCookie(value: string, options: { maxAgeSeconds: number; secure: boolean }): string {
  const attributes = [`${name}=${value}`, 'Path=/', `Max-Age=${options.maxAgeSeconds}`, 'HttpOnly', 'SameSite=Strict']
  return [...attributes, ...(options.secure ? ['Secure'] : [])].join('; ')
}
