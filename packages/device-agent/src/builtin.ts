import type { spawn } from 'node:child_process'
import type { ClientRequest, RequestOptions } from 'node:http'
import type { SecureContext } from 'node:tls'
/**
 * Modules of Node that are taken whole. Importing their names would read every export of theirs, some of which load
 * what an agent at rest would keep for nothing: fetch and a WebSocket, the web's cryptography, workers: 15 MB.
 */
export const { createHash, createPublicKey, randomBytes, randomUUID, timingSafeEqual, verify } =
  process.getBuiltinModule('node:crypto')
export const { createServer, request: requestPlain } = process.getBuiltinModule('node:http')
const fs = process.getBuiltinModule('node:fs')
export const { copyFile, chmod, link, mkdir, open, readdir, readFile, rename, rm, stat, statfs, writeFile } =
  fs.promises
export const { cpus, freemem, hostname, loadavg, networkInterfaces, release, totalmem, type, uptime } =
  process.getBuiltinModule('node:os')

let secureContext: SecureContext | undefined

/**
 * A request over TLS, which is loaded by the first one. All share what a connection would else make for itself: the roots
 * that this process was started with, which do not change. Each certificate is verified anew; no session is taken up.
 */
export function requestSecure(url: URL, options: RequestOptions): ClientRequest {
  secureContext ??= process.getBuiltinModule('node:tls').createSecureContext()
  const shared: RequestOptions & { secureContext: SecureContext } = { ...options, secureContext }
  return process.getBuiltinModule('node:https').request(url, shared)
}

/** Loaded by the first use: 3 MB that a device without releases never needs. */
export function spawnProcess(...given: Parameters<typeof spawn>): ReturnType<typeof spawn> {
  return process.getBuiltinModule('node:child_process').spawn(...given)
}
