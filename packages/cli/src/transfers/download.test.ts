import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DownloadOptions, downloadVerified } from './download.ts'

const image = randomBytes(300_000)
const sha256 = createHash('sha256').update(image).digest('hex')
let folder = ''
const stops: (() => Promise<void>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freehold-download-'))
})
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  await rm(folder, { recursive: true, force: true })
})

/** Sends `bytes` with ranges; `trouble` may answer instead. */
async function startServer(bytes: Buffer, trouble?: (from: number, response: ServerResponse) => boolean) {
  const ranges: string[] = []
  const server = createServer((request, response) => {
    const range = String(request.headers.range)
    ranges.push(range)
    const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1])
    if (trouble?.(from, response) === true) return
    response
      .writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` })
      .end(bytes.subarray(from))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return { ranges, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/image` }
}

function optionsFor(url: string): DownloadOptions & { retries: string[] } {
  const retries: string[] = []
  return {
    wanted: { sizeBytes: image.length, sha256 },
    address: async () => url,
    file: join(folder, 'till.img.xz'),
    onProgress: () => {},
    onRetry: (reason) => void retries.push(reason),
    signal: new AbortController().signal,
    firstWaitMs: 1,
    retries,
  }
}

const partName = `till.img.xz.${sha256.slice(0, 12)}.part`

test('an image is checked, and then has its name, for its owner alone', async () => {
  const { url, ranges } = await startServer(image)
  const options = optionsFor(url)
  expect(await downloadVerified(options)).toBe('downloaded')
  expect((await readFile(options.file)).equals(image)).toBe(true)
  expect((await stat(options.file)).mode & 0o777).toBe(0o600)
  expect(await readdir(folder)).toEqual(['till.img.xz'])
  expect(await downloadVerified(options)).toBe('present')
  expect(ranges).toEqual(['bytes=0-'])
})

test('it goes on where an earlier run broke off', async () => {
  const { url, ranges } = await startServer(image)
  await writeFile(join(folder, partName), image.subarray(0, 123_456))
  const options = optionsFor(url)
  await downloadVerified(options)
  expect(ranges).toEqual(['bytes=123456-'])
  expect((await readFile(options.file)).equals(image)).toBe(true)
})

test('a connection that breaks is taken up again, with a fresh address', async () => {
  let breaks = 0
  const { url, ranges } = await startServer(image, (from, response) => {
    if (breaks >= 3) return false
    breaks += 1
    response.writeHead(206, { 'content-range': `bytes ${from}-${image.length - 1}/${image.length}` })
    response.write(image.subarray(from, from + 50_000), () => response.destroy())
    return true
  })
  const options = optionsFor(url)
  const addresses: string[] = []
  await downloadVerified({
    ...options,
    address: async () => {
      addresses.push(`${url}?${addresses.length}`)
      return addresses.at(-1) ?? ''
    },
  })
  expect(options.retries).toHaveLength(3)
  expect(addresses).toHaveLength(4)
  expect(ranges[0]).toBe('bytes=0-')
  expect((await readFile(options.file)).equals(image)).toBe(true)
})

test('a server that knows no ranges sends it all anew', async () => {
  const { url } = await startServer(image, (_, response) => {
    response.writeHead(200).end(image)
    return true
  })
  await writeFile(join(folder, partName), randomBytes(1000))
  const options = optionsFor(url)
  await downloadVerified(options)
  expect((await readFile(options.file)).equals(image)).toBe(true)
})

test('wrong bytes never get the name, and are thrown away', async () => {
  const wrong = Buffer.from(image)
  wrong[200_000] = (wrong[200_000] ?? 0) ^ 1
  const { url } = await startServer(wrong)
  await expect(downloadVerified(optionsFor(url))).rejects.toMatchObject({ exitCode: 1, message: /another sha256/ })
  expect(await readdir(folder)).toEqual([])
  const longer = await startServer(Buffer.concat([image, image]))
  await expect(downloadVerified(optionsFor(longer.url))).rejects.toMatchObject({ message: /More arrived/ })
  expect(await readdir(folder)).not.toContain('till.img.xz')
})

test('what was begun stays where the server stays away or the command is interrupted', async () => {
  const { url } = await startServer(image, (_, response) => {
    response.writeHead(503).end()
    return true
  })
  await writeFile(join(folder, partName), image.subarray(0, 1000))
  const options = optionsFor(url)
  await expect(downloadVerified(options)).rejects.toMatchObject({ exitCode: 6 })
  expect(options.retries).toHaveLength(5)
  const stop = new AbortController()
  stop.abort(new Error('Interrupted.'))
  await expect(downloadVerified({ ...optionsFor(url), signal: stop.signal })).rejects.toThrow('Interrupted.')
  expect(await readdir(folder)).toEqual([partName])
})

test('an image that is gone is said to be, at once; another file of that name is left alone', async () => {
  const { url, ranges } = await startServer(image, (_, response) => {
    response.writeHead(404).end()
    return true
  })
  await expect(downloadVerified(optionsFor(url))).rejects.toMatchObject({ exitCode: 4 })
  expect(ranges).toHaveLength(1)
  const options = optionsFor(url)
  await writeFile(options.file, 'holiday photographs')
  await expect(downloadVerified(options)).rejects.toMatchObject({ exitCode: 5, message: /is another file/ })
  expect(await readFile(options.file, 'utf8')).toBe('holiday photographs')
})
