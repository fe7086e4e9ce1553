/** Where to go after the sign-in: a path of this dashboard and nothing else, whatever a link says. */
export function safeNext(next: string | undefined): string {
  if (next === undefined || !/^\/(?![/\\])/.test(next) || next.startsWith('/sign-in')) return '/'
  return next
}
