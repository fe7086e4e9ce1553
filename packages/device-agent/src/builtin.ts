/**
 * Modules of Node that are taken whole. Importing their names would read every export of theirs, some of which load
 * what an agent at rest would keep for nothing: fetch and a WebSocket, the web's cryptography, workers: 15 MB.
 */
export const { createHash, randomBytes, randomUUID, timingSafeEqual } = process.getBuiltinModule('node:crypto')
export const { createServer, request: requestPlain } = process.getBuiltinModule('node:http')
const fs = process.getBuiltinModule('node:fs')
export const { copyFile, chmod, link, mkdir, open, readFile, rename, rm, stat, statfs, writeFile } = fs.promises
export const { cpus, freemem, hostname, loadavg, networkInterfaces, release, totalmem, type, uptime } =
  process.getBuiltinModule('node:os')
