/** The repository of ours that an image elsewhere would naturally get: its path, without host, tag and digest. */
export function suggestRepository(source: string): string {
  const named = source.trim().split('@')[0] ?? ''
  const slash = named.indexOf('/')
  const first = slash < 0 ? '' : named.slice(0, slash)
  const isHost = /[.:]/.test(first) || first === 'localhost'
  const path = isHost ? named.slice(slash + 1) : named
  const colon = path.lastIndexOf(':')
  return colon > path.lastIndexOf('/') ? path.slice(0, colon) : path
}
