import { type BuildWorkerEntry, FreeholdError, parseBuildWorkers, type Settings } from '@freehold/contracts'
import { type Sealer, Secret } from '../secrets/index.ts'

type Data = Settings['data']
type SealedToken = NonNullable<Data['corebuildWorkerToken']>

/** A build worker as it is configured. */
export interface ConfiguredWorker {
  /** As configured, else its address. */
  id: string
  /** Without a slash at its end. */
  url: string
  /** `unreadable`: it was sealed by another secret of this installation. */
  token: Secret | null | 'unreadable'
}

const mask = '••••'
const shownCharacters = 4
/** Of shorter ones the last characters would tell too much. */
const shownFromCharacters = 12
const singleOwner = 'corebuildWorkerToken'

/** Replaces the list. A token that is written back as it was shown stays, for the same address alone. */
export function withWorkers(data: Data, text: string, sealer: Sealer): Data {
  const entries = parseBuildWorkers(text)
  if (entries === undefined) throw wrong('corebuildWorkersJson', 'This is no list of build workers.')
  const known = data.corebuildWorkersJson ?? []
  const workers = entries.map((entry) => {
    const { url, id } = plain(entry)
    if (entry.token === undefined) return { url, ...id }
    const before = known.find((each) => each.url === url && each.token?.shown === entry.token)?.token
    if (before === undefined && isMasked(entry.token)) {
      throw wrong('corebuildWorkersJson', `The token of ${url} is not known here. Write it in full.`)
    }
    return { url, ...id, token: before ?? sealed(entry.token, url, sealer) }
  })
  const ids = workers.map(idOf)
  const twice = ids.find((id, index) => ids.indexOf(id) !== index)
  if (twice !== undefined) throw wrong('corebuildWorkersJson', `${twice} is there twice. Give workers different ids.`)
  return { ...data, corebuildWorkersJson: workers }
}

/** Changes the single worker. Its token goes to no other address than the one it was given for. */
export function withWorker(
  data: Data,
  change: { url?: string | undefined; token?: string | undefined },
  sealer: Sealer,
): Data {
  const before = data.corebuildWorkerToken
  const keeps = change.token === undefined || (before !== undefined && change.token === before.shown)
  if (!keeps && change.token !== undefined && isMasked(change.token)) {
    throw wrong('corebuildWorkerToken', 'This is not the token, but how one is shown. Write it in full.')
  }
  const url = change.url === undefined ? data.corebuildWorkerUrl : plainUrl(change.url)
  if (keeps && before !== undefined && url !== data.corebuildWorkerUrl && data.corebuildWorkerUrl !== undefined) {
    throw wrong(
      'corebuildWorkerUrl',
      'The stored token is for the address before. Give corebuildWorkerToken in full too, or clear it first.',
    )
  }
  const token = keeps || change.token === undefined ? before : sealed(change.token, singleOwner, sealer)
  return {
    ...data,
    ...(url === undefined ? {} : { corebuildWorkerUrl: url }),
    ...(token === undefined ? {} : { corebuildWorkerToken: token }),
  }
}

/** All that are configured; each address once. */
export function workersOf(data: Data, sealer: Sealer): ConfiguredWorker[] {
  const workers = (data.corebuildWorkersJson ?? []).map(
    (entry): ConfiguredWorker => ({
      id: idOf(entry),
      url: entry.url,
      token: opened(entry.token, entry.url, sealer),
    }),
  )
  const url = data.corebuildWorkerUrl
  if (url !== undefined && !workers.some((worker) => worker.url === url)) {
    workers.push({ id: url, url, token: opened(data.corebuildWorkerToken, singleOwner, sealer) })
  }
  return workers
}

/** The list as it may be shown and written back. */
export function shownWorkers(workers: NonNullable<Data['corebuildWorkersJson']>): string {
  return JSON.stringify(
    workers.map(({ token, ...entry }) => (token === undefined ? entry : { ...entry, token: token.shown })),
  )
}

function plain(entry: BuildWorkerEntry): { url: string; id: { id?: string } } {
  return { url: plainUrl(entry.url), id: entry.id === undefined ? {} : { id: entry.id } }
}

const plainUrl = (url: string): string => new URL(url).href.replace(/\/+$/, '')
const idOf = ({ id, url }: { id?: string | undefined; url: string }): string => id ?? url
const isMasked = (token: string): boolean => token.includes('•')

function sealed(token: string, owner: string, sealer: Sealer): SealedToken {
  const last = token.length < shownFromCharacters ? '' : token.slice(-shownCharacters)
  return { sealed: sealer.seal(new Secret(token), owner), shown: `${mask}${last}` }
}

function opened(token: SealedToken | undefined, owner: string, sealer: Sealer): ConfiguredWorker['token'] {
  if (token === undefined) return null
  try {
    return sealer.open(token.sealed, owner)
  } catch (error) {
    if (error instanceof FreeholdError) return 'unreadable'
    throw error
  }
}

function wrong(path: string, message: string): FreeholdError {
  return new FreeholdError('invalid-input', message, { details: [{ path, message }] })
}
