import { createHash } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contracts'
import { type Client, nameOf } from '../net/client.ts'
import { type Patience, withPatience } from '../sinks/sink.ts'

/** An agent with its Node has some 50 MB. */
const longestBytes = 512 * 1024 * 1024

/** Fetches the device agent's archive to `path` and verifies its digest. Throws `invalid-input` (digest), `upstream-failed`. */
export async function fetchAgent(
  { url, sha256, path }: { url: string; sha256: string; path: string },
  { client, signal, patience }: { client: Client; signal: AbortSignal; patience: Patience },
): Promise<void> {
  const actual = await withPatience(() => download(url, path, { client, signal }), {
    ...patience,
    signal,
    isTransient: (error) => !(error instanceof FreeholdError),
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    if (error instanceof FreeholdError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new FreeholdError('upstream-failed', `The device agent cannot be fetched from ${nameOf(url)}: ${why}`, {
      cause: error,
    })
  })
  if (actual === sha256) return
  await rm(path, { force: true })
  throw new FreeholdError(
    'invalid-input',
    `job.agent.sha256: the device agent at ${nameOf(url)} has the sha256 ${actual}, not the one of the job.`,
  )
}

async function download(
  url: string,
  path: string,
  { client, signal }: { client: Client; signal: AbortSignal },
): Promise<string> {
  const answer = await client.send(url, {
    headers: { 'accept-encoding': 'identity' },
    signal,
    follow: true,
    isPassing: true,
  })
  if (answer.status !== 200 || answer.body === null) {
    await answer.body?.cancel()
    const sentence = `${nameOf(url)} answered ${answer.status}`
    if (answer.status >= 500 || answer.status === 429) throw new Error(sentence)
    throw new FreeholdError('upstream-failed', `The device agent cannot be fetched: ${sentence}.`)
  }
  const hash = createHash('sha256')
  let sizeBytes = 0
  const file = await open(path, 'w', 0o600)
  try {
    for await (const chunk of answer.body) {
      sizeBytes += chunk.length
      if (sizeBytes > longestBytes)
        throw new FreeholdError('body-too-large', 'The device agent is larger than 512 MiB.')
      hash.update(chunk)
      await file.writeFile(chunk)
    }
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}
