import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { basic, ociManifest, sha256 } from '../../packages/server/src/registry/testing.ts'
import { childrenOf, requireParts, startProgram, temporaryFolder, waitFor } from './lab/index.ts'
import { ordersBroken, parseTrace, type TraceEvent, tracedCalls } from './registry-trace.testing.ts'

/**
 * Power may be lost at any moment. A real registry is watched while many push at once, and at every moment of the
 * trace it must hold: what a reference on the disk names is on the disk, and what was acknowledged is referred to.
 */
it('has every byte and name on the disk before a reference to it, and the reference before the answer', async () => {
  requireParts(['strace'])
  const folder = await temporaryFolder('power')
  onTestFinished(() => folder.remove())
  const { digests, trace } = await watchPushes(folder.path)
  const events = parseTrace(trace)
  expect(digests.length).toBeGreaterThan(100)
  expect(ordersBroken(events, digests, isCreated)).toEqual([])

  // The check itself finds each kind of break: without any one sync of a push, something is said.
  const needed = events.filter(({ call, paths }) => isSync(call) && !paths[0]?.includes('/uploads'))
  expect(needed.length).toBeGreaterThan(0)
  for (const part of ['/uploads/', '/sha256/', '.sqlite-wal']) {
    const cut = events.filter(({ call, paths }) => !(isSync(call) && paths[0]?.includes(part)))
    expect(cut.length, part).toBeLessThan(events.length)
    expect(ordersBroken(cut, digests, isCreated).length, part).toBeGreaterThanOrEqual(digests.length)
  }
  const early = events.map((event) => (event.call === 'rename' ? { ...event, ...earlier(event) } : event))
  expect(ordersBroken(early, digests, isCreated).length).toBeGreaterThanOrEqual(digests.length)
})

const isSync = (call: string) => call === 'fsync' || call === 'fdatasync'
const isCreated = (text: string) => text.includes('HTTP/1.1 201 Created')
const earlier = ({ beginsAt, endsAt }: TraceEvent) => ({ beginsAt: beginsAt - 1_000_000, endsAt: endsAt - 1_000_000 })

async function watchPushes(directory: string): Promise<{ digests: string[]; trace: string }> {
  const log = join(directory, 'trace')
  const fixture = join(import.meta.dirname, '../../packages/server/src/registry/crash.fixture.ts')
  const program = await startProgram([
    ...['strace', '-f', '-y', '-qq', '-s', '65536', '-e', `trace=${tracedCalls.join(',')}`, '-o', log],
    ...[process.execPath, fixture, join(directory, 'data')],
  ])
  try {
    const host = await waitFor(() => /ready (\S+)/.exec(program.output())?.[1], { what: 'the registry to start' })
    const pushed = await Promise.all(Array.from({ length: 16 }, (_, index) => pushImages(host, `power/p${index}`)))
    // Once it has answered something else, it has returned from sending the last of those answers, and the trace says so.
    await (await fetch(`http://${host}/v2/`)).arrayBuffer()
    for (const pid of childrenOf(program.pid)) process.kill(pid, 'SIGKILL')
    await waitFor(() => program.ended(), { what: 'the registry to end' })
    return { digests: pushed.flat(), trace: await readFile(log, 'latin1') }
  } finally {
    await program.stop({ graceMs: 0 })
  }
}

/** Pushes images, half of their layers in chunks; answers all digests in hexadecimal. */
async function pushImages(host: string, repository: string): Promise<string[]> {
  const base = `http://${host}/v2/${repository}`
  const send = async (method: string, url: string, body?: Uint8Array | string, type?: string): Promise<Response> => {
    const headers = { authorization: basic('admin'), ...(type === undefined ? {} : { 'content-type': type }) }
    const response = await fetch(new URL(url, base), { method, headers, ...(body === undefined ? {} : { body }) })
    if (!response.ok) throw new Error(`${method} ${url} was refused: ${response.status}`)
    await response.arrayBuffer()
    return response
  }
  const digests: string[] = []
  const blob = async (content: Buffer, inChunks: boolean) => {
    const digest = sha256(content)
    digests.push(digest.slice('sha256:'.length))
    if (inChunks) {
      const location = (await send('POST', `${base}/blobs/uploads/`)).headers.get('location') ?? ''
      await send('PATCH', location, content.subarray(0, 1000))
      await send('PUT', `${location}?digest=${digest}`, content.subarray(1000))
    } else await send('POST', `${base}/blobs/uploads/?digest=${digest}`, content)
    return { mediaType: 'application/octet-stream', digest, size: content.length }
  }
  for (let count = 0; count < 3; count += 1) {
    const config = await blob(randomBytes(500), false)
    const layers = [await blob(randomBytes(3000), true)]
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })
    await send('PUT', `${base}/manifests/v${count}`, manifest, ociManifest)
    digests.push(sha256(manifest).slice('sha256:'.length))
  }
  return digests
}
