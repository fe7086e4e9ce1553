import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { extname, join, relative, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
}
const maxFiles = 5_000
/** Written by the bundler into a name: a changed file is another address. */
const hashed = /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/

interface File {
  path: string
  sizeBytes: number
  etag: string
}

/**
 * Serves the files of one directory. They are listed beforehand, so a request can only name one of them: no path is
 * ever built from a request. A directory that is not there yet is looked for again.
 */
export function createFiles(directory: string, options: { only?: ReadonlySet<string> } = {}) {
  let known: Promise<Map<string, File>> | undefined

  const files = async (): Promise<Map<string, File>> => {
    known ??= listFiles(directory, options.only)
    const list = await known
    if (list.size === 0) known = undefined
    return list
  }

  return {
    /** Sends the file of this name (`assets/index-3fa9.js`); false where there is none. */
    async send(name: string, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
      const file = (await files()).get(name)
      if (file === undefined) return false
      const immutable = name.startsWith('assets/') && hashed.test(name)
      response.setHeader('cache-control', immutable ? 'public, max-age=31536000, immutable' : 'no-cache')
      response.setHeader('etag', file.etag)
      if (request.headers['if-none-match'] === file.etag) {
        response.writeHead(304).end()
        return true
      }
      response.setHeader('content-type', types[extname(name)] ?? 'application/octet-stream')
      if (request.method === 'HEAD') {
        response.writeHead(200, { 'content-length': file.sizeBytes }).end()
        return true
      }
      await sendFile(file, response)
      return true
    },
    /** Looks at the directory again at the next request. */
    refresh(): void {
      known = undefined
    },
  }
}

/** Rebuilt while we run: the old listing no longer fits, so the length is left to the stream. */
async function sendFile(file: File, response: ServerResponse): Promise<void> {
  response.writeHead(200)
  try {
    await pipeline(createReadStream(file.path), response)
  } catch (error) {
    response.destroy()
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
}

async function listFiles(directory: string, only: ReadonlySet<string> | undefined): Promise<Map<string, File>> {
  const files = new Map<string, File>()
  const entries = await readdir(directory, { recursive: only === undefined, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    },
  )
  for (const entry of entries) {
    if (!entry.isFile() || files.size >= maxFiles) continue
    const path = join(entry.parentPath, entry.name)
    const name = relative(directory, path).split(sep).join('/')
    if (only !== undefined && !only.has(name)) continue
    const { size, mtimeMs } = await stat(path)
    files.set(name, { path, sizeBytes: size, etag: `"${size.toString(16)}-${Math.trunc(mtimeMs).toString(16)}"` })
  }
  return files
}
