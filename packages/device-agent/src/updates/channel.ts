import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Updater } from 'tuf-js'
import { fieldsOf, parseJson } from '../parse.ts'
import { type ChannelFetcher, createFetcher } from './fetcher.ts'
import { sha256Of, type UpdatesFolder } from './folder.ts'
import type { Trust, VerifyRequest } from './protocol.ts'
import { Refused } from './refusal.ts'

/** The signed channel after a refresh; every text it gives is the one that `targets` names. */
export interface Channel {
  trust: Trust
  /** Throws `manifest-mismatch` where the channel does not name this file, or another with its path. */
  target(path: string, options: { sha256?: string; limitBytes: number }): Promise<string>
}

const requestLimitMs = 30_000
const rootLimitBytes = 512_000

/**
 * Refreshes the metadata (The Update Framework 1.0.34 §5) by the library, from where trust stands, and keeps what was
 * verified. Throws `Refused`. `onRoot` hears of the first root and of each step of the chain, also where what follows
 * is refused.
 */
export async function refreshChannel(
  request: VerifyRequest,
  folder: UpdatesFolder,
  onTrust: (trust: Trust) => void,
): Promise<Channel> {
  const updatesUrl = new URL('updates/', new URL(`${request.url.replace(/\/+$/, '')}/`))
  const metadataUrl = new URL('metadata/', updatesUrl).href
  const scratchPath = join(request.folder, 'scratch')
  const { nodeToken } = request
  const fetcher = createFetcher({ updatesUrl, nodeToken, folder: scratchPath, timeLimitMs: requestLimitMs })
  const begun = await whereTrustBegins({ request, folder, fetcher, metadataUrl })
  onTrust(begun.trust)
  const updater = await newestUpdater(folder, begun.firstRoot, {
    metadataDir: scratchPath,
    metadataBaseUrl: metadataUrl,
    targetBaseUrl: updatesUrl.href,
    fetcher,
    config: { maxRootRotations: 1024, targetsMaxLength: 20_000_000 },
  })
  try {
    await updater.refresh()
  } catch (error) {
    await keepRootOfScratch(folder)
    throw refusalOf(error, fetcher)
  }
  const root = await keepRootOfScratch(folder)
  const trust = await judgeVersions(begun.trust, root, folder)
  for (const role of ['timestamp', 'snapshot', 'targets'] as const) await folder.keepRole(role)
  onTrust(trust)
  return { trust, target: (path, wanted) => targetOf({ updater, fetcher, scratchPath, path, ...wanted }) }
}

/** The owner's file, or what was the first root before, or, for a device that never had one, the control plane's. */
async function whereTrustBegins(options: {
  request: VerifyRequest
  folder: UpdatesFolder
  fetcher: ChannelFetcher
  metadataUrl: string
}): Promise<{ firstRoot: string; trust: Trust }> {
  const { request, folder, fetcher, metadataUrl } = options
  const { rootPath, trust } = request
  if (rootPath !== null) {
    const firstRoot = await ownersRoot(rootPath)
    const firstRootSha256 = sha256Of(firstRoot)
    if (firstRootSha256 === trust.firstRootSha256) return { firstRoot, trust }
    // The owner names another beginning than before: nothing that followed from the old one counts.
    await folder.forget()
    await folder.keepFirstRoot(firstRoot)
    return { firstRoot, trust: { firstRootSha256, seen: { root: 0, timestamp: 0, snapshot: 0, targets: 0, keys: '' } } }
  }
  const kept = await folder.firstRoot()
  const isWhole = kept !== null && versionIn(kept) !== null
  if (isWhole && (trust.firstRootSha256 === null || sha256Of(kept) === trust.firstRootSha256)) {
    return { firstRoot: kept, trust: { ...trust, firstRootSha256: sha256Of(kept) } }
  }
  let firstRoot: string
  try {
    firstRoot = (await fetcher.downloadBytes(new URL('1.root.json', metadataUrl).href, rootLimitBytes)).toString('utf8')
  } catch (error) {
    throw new Refused('unreachable', `The first root cannot be had: ${sentence(error)}`, { cause: error })
  }
  const firstRootSha256 = sha256Of(firstRoot)
  if (versionIn(firstRoot) === null) throw new Refused('metadata-invalid', 'The first root is none.')
  if (trust.firstRootSha256 !== null && firstRootSha256 !== trust.firstRootSha256) {
    throw new Refused('metadata-invalid', 'The first root is another than the one this device began with.')
  }
  await folder.keepFirstRoot(firstRoot)
  return { firstRoot, trust: { ...trust, firstRootSha256 } }
}

async function ownersRoot(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new Refused('metadata-invalid', `The file of BASEOS_UPDATE_ROOT cannot be read: ${sentence(error)}`, {
      cause: error,
    })
  }
}

/** Begins with the newest root that is whole; each was verified before it was kept. */
async function newestUpdater(
  folder: UpdatesFolder,
  firstRoot: string,
  options: ConstructorParameters<typeof Updater>[0],
): Promise<Updater> {
  let last: unknown
  for (const root of [...(await folder.roots()), firstRoot]) {
    await folder.openScratch(root)
    try {
      return new Updater(options)
    } catch (error) {
      last = error
    }
  }
  throw new Refused('metadata-invalid', `No root of this device is whole: ${sentence(last)}`, { cause: last })
}

async function keepRootOfScratch(folder: UpdatesFolder): Promise<string> {
  const text = (await folder.readScratch('root.json')) ?? ''
  const version = versionIn(text)
  if (version === null) throw new Refused('metadata-invalid', 'The newest root cannot be read.')
  if (!(await folder.roots()).includes(text)) await folder.keepRoot(version, text)
  return text
}

/** None may be below what was seen: the library knows only the files, and those may have been lost. */
async function judgeVersions(before: Trust, root: string, folder: UpdatesFolder): Promise<Trust> {
  const keys = keysIn(root)
  const isRotated = before.seen.keys !== '' && before.seen.keys !== keys
  const seen = isRotated ? { ...before.seen, timestamp: 0, snapshot: 0, targets: 0 } : before.seen
  const found = { ...seen, keys }
  for (const role of ['root', 'timestamp', 'snapshot', 'targets'] as const) {
    const version = versionIn((await folder.readScratch(`${role}.json`)) ?? '')
    if (version === null) throw new Refused('metadata-invalid', `The ${role} metadata cannot be read.`)
    if (version < seen[role]) {
      throw new Refused(
        'metadata-rollback',
        `Version ${version} of ${role} is older than ${seen[role]}, which was seen.`,
      )
    }
    found[role] = version
  }
  return { ...before, seen: found }
}

async function targetOf(options: {
  updater: Updater
  fetcher: ChannelFetcher
  scratchPath: string
  path: string
  sha256?: string
  limitBytes: number
}): Promise<string> {
  const { updater, fetcher, scratchPath, path, sha256, limitBytes } = options
  const info = await updater.getTargetInfo(path)
  if (!info) throw new Refused('manifest-mismatch', `The signed channel does not name ${path}.`)
  if (sha256 !== undefined && info.hashes.sha256 !== sha256) {
    throw new Refused('manifest-mismatch', `The signed channel names another ${path} than the assignment.`)
  }
  if (info.hashes.sha256 === undefined || info.length > limitBytes) {
    throw new Refused('manifest-mismatch', `${path} is larger than ${limitBytes} bytes, or has no SHA-256.`)
  }
  try {
    return await readFile(await updater.downloadTarget(info, join(scratchPath, 'target')), 'utf8')
  } catch (error) {
    const failure = fetcher.failure()
    if (failure !== null) throw new Refused('unreachable', failure, { cause: error })
    throw new Refused('manifest-mismatch', `${path} is not what was signed: ${sentence(error)}`, { cause: error })
  }
}

/** The library's errors carry little but their sentence. */
function refusalOf(error: unknown, fetcher: ChannelFetcher): Refused {
  const failure = fetcher.failure()
  if (failure !== null) return new Refused('unreachable', failure, { cause: error })
  const said = sentence(error).slice(0, 400)
  if (/is expired/.test(said)) return new Refused('metadata-expired', said, { cause: error })
  const isRollback = /is less than current version|Missing file .* in new snapshot/.test(said)
  return new Refused(isRollback ? 'metadata-rollback' : 'metadata-invalid', said, { cause: error })
}

function versionIn(text: string): number | null {
  const { version } = fieldsOf(fieldsOf(parseJson(text)).signed)
  return typeof version === 'number' && Number.isSafeInteger(version) && version > 0 ? version : null
}

function keysIn(root: string): string {
  const roles = fieldsOf(fieldsOf(fieldsOf(parseJson(root)).signed).roles)
  const idsOf = (role: unknown) => (Array.isArray(role) ? role.map(String).toSorted().join(',') : '')
  return ['timestamp', 'snapshot', 'targets'].map((name) => idsOf(fieldsOf(roles[name]).keyids)).join(';')
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error)
}
