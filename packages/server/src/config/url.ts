import type { Config } from './read.ts'

/** The address people and agents use, without a slash at its end. `port` is the one really listened on. */
export function publicUrlOf(config: Pick<Config, 'hostname' | 'sslMode' | 'bind'>, port: number): string {
  const protocol = config.sslMode === 'external' ? 'https' : 'http'
  if (config.hostname !== undefined) {
    const hasPort = /:\d+$/.test(config.hostname)
    const needsPort = config.sslMode === 'none' && !hasPort && port !== 80
    return `${protocol}://${config.hostname}${needsPort ? `:${port}` : ''}`
  }
  const everywhere = config.bind === '0.0.0.0' || config.bind === '::'
  const host = everywhere ? '127.0.0.1' : config.bind
  return `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
