import { hostnameOfBuild } from '@freehold/contracts'
import type { AnyResource, Api } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { fieldsOf } from '../schema.ts'
import { findNoun, listNouns, type Noun } from './noun.ts'

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** Rows asked for at once; the most a page holds. */
const pageRows = 500

export interface ListQuery {
  label?: string
  search?: string
  [filter: string]: string | undefined
}

/** All resources of a noun, page by page. */
export async function* listAll(api: Api, noun: Noun, query: ListQuery = {}): AsyncGenerator<AnyResource> {
  const list = noun.verbs.list
  if (list === undefined) return
  let cursor: string | null = null
  do {
    const page = (await api.call(list, {
      query: { ...query, limit: pageRows, ...(cursor === null ? {} : { cursor }) },
    })) as { items: AnyResource[]; nextCursor: string | null }
    yield* page.items
    cursor = page.nextCursor
  } while (cursor !== null)
}

/**
 * The one resource meant by an id or a name: revisions are named `service/number`, the newest rollout of a service by
 * the service, that of a release by its channel, a damaged blob by its digest, a release as `product/version` (of a host
 * `baseos/device-type/version`), a build by its hostname, tokens and enrolments besides by the characters they begin with,
 * devices by the short id of their list.
 */
export async function find(api: Api, noun: Noun, reference: string): Promise<AnyResource> {
  if (uuidPattern.test(reference)) {
    const get = noun.verbs.get
    if (get !== undefined) return (await api.call(get, { params: { id: reference } })) as AnyResource
    for await (const item of listAll(api, noun)) if (item.id === reference.toLowerCase()) return item
    throw notFound(noun, reference)
  }
  if (noun.plural === 'rollouts') return newestRollout(api, noun, reference)
  if (noun.plural === 'release-rollouts') return newestOfChannel(api, noun, reference)
  if (noun.plural === 'revisions') return revisionOf(api, noun, reference)
  return findByName(api, noun, reference)
}

/** What a resource is called where people read it. */
export function nameOf(resource: AnyResource): string {
  const { name, prefix } = resource.data
  if (resource.kind === 'release') return releaseName(resource.data)
  if (typeof name === 'string') return name
  return typeof prefix === 'string' ? prefix : resource.id
}

async function findByName(api: Api, noun: Noun, name: string): Promise<AnyResource> {
  const fields = fieldsOf(noun.data)
  const searchable = 'name' in fields && !('prefix' in fields)
  const ofProduct = noun.plural === 'releases' ? { product: name.split('/')[0] } : {}
  const byName = 'name' in noun.filters ? { name } : searchable ? { search: name } : ofProduct
  const found: AnyResource[] = []
  for await (const item of listAll(api, noun, byName)) if (isCalled(item, name)) found.push(item)
  const hasShortIds = noun.plural === 'devices' || noun.plural === 'builds'
  if (found.length === 0 && hasShortIds && shortIdPattern.test(name)) {
    const shortId = name.toLowerCase()
    const byShortId = 'shortId' in noun.filters ? { shortId } : {}
    for await (const item of listAll(api, noun, byShortId)) if (shortIdOf(item.id) === shortId) found.push(item)
  }
  const [first, second] = found
  if (first === undefined) throw notFound(noun, name)
  if (second === undefined) return first
  const candidates = found.slice(0, 10).map(({ id, status }) => {
    return typeof status.state === 'string' ? `${id} (${status.state})` : id
  })
  const more = found.length > candidates.length ? `, and ${found.length - candidates.length} more` : ''
  throw new CliError(
    exitCodes.usage,
    `${found.length} ${noun.plural} are called "${name}".`,
    `Name one by its id: ${candidates.join(', ')}${more}.`,
  )
}

const shortIdPattern = /^[0-9a-f]{8}$/i

/** What the device of a build is called. */
export function hostnameOf({ id, data: { hostname } }: AnyResource): string {
  return hostnameOfBuild({ id, hostname: typeof hostname === 'string' ? hostname : null })
}

/** The end of an id, which is random where its beginning is the time: enough to tell devices of one name apart. */
export function shortIdOf(id: string): string {
  return id.slice(-8)
}

function isCalled(resource: AnyResource, name: string): boolean {
  const { prefix, digest } = resource.data
  if (resource.kind === 'damaged-blob') return digest === name
  if (resource.kind === 'build') return hostnameOf(resource) === name
  const own = nameOf(resource)
  if (resource.kind === 'user') return own.toLowerCase() === name.toLowerCase()
  return own === name || prefix === name
}

function releaseName({ product, version, host }: AnyResource['data']): string {
  const hasType = typeof host === 'object' && host !== null && 'deviceType' in host
  return [product, ...(hasType ? [host.deviceType] : []), version].map(String).join('/')
}

async function newestRollout(api: Api, rollouts: Noun, serviceName: string): Promise<AnyResource> {
  const service = await findService(api, serviceName)
  const rolloutId = service.status.rolloutId
  if (typeof rolloutId !== 'string') {
    throw new CliError(
      exitCodes.notFound,
      `The service "${serviceName}" has never been rolled out.`,
      `\`freehold services push-help ${serviceName}\` shows how to push its image.`,
    )
  }
  return find(api, rollouts, rolloutId)
}

async function newestOfChannel(api: Api, rollouts: Noun, channelName: string): Promise<AnyResource> {
  const channel = await find(api, findNoun(listNouns(), 'channels'), channelName)
  const { list } = rollouts.verbs
  if (list !== undefined) {
    const query = { channelId: channel.id, order: 'changed', limit: 1 }
    const { items } = (await api.call(list, { query })) as { items: AnyResource[] }
    if (items[0] !== undefined) return items[0]
  }
  throw new CliError(
    exitCodes.notFound,
    `Nothing was ever rolled out to the channel "${channelName}".`,
    `\`freehold release-rollouts create ${channelName} PRODUCT/VERSION\` begins.`,
  )
}

async function revisionOf(api: Api, revisions: Noun, reference: string): Promise<AnyResource> {
  const match = /^(.+)\/(\d+)$/.exec(reference)
  const [, serviceName, number] = match ?? []
  if (serviceName === undefined || number === undefined) {
    throw new CliError(
      exitCodes.usage,
      `"${reference}" names no revision.`,
      'Write service/number, such as web/3, or an id.',
    )
  }
  const service = await findService(api, serviceName)
  for await (const revision of listAll(api, revisions, { serviceId: service.id })) {
    if (revision.data.number === Number(number)) return revision
  }
  throw new CliError(
    exitCodes.notFound,
    `The service "${serviceName}" has no revision ${number}.`,
    `\`freehold revisions list --service ${serviceName}\` shows those it has.`,
  )
}

/** The service with this name or id. */
export async function findService(api: Api, reference: string): Promise<AnyResource> {
  return find(api, findNoun(listNouns(), 'services'), reference)
}

function notFound(noun: Noun, reference: string): CliError {
  return new CliError(
    exitCodes.notFound,
    `There is no ${noun.singular} "${reference}".`,
    `\`freehold ${noun.plural} list\` shows what exists.`,
  )
}
