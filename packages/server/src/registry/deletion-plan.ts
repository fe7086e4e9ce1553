import {
  type DeletionPlan,
  deletedManifestsLimit,
  type Manifest,
  manifestKind,
  type Tag,
  tagKind,
} from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'
import { releasesHolding } from '../images/index.ts'
import { attachedBy, attachingTags, purposeOf, referrersTag } from './purpose.ts'
import { findManifest, findTag, referenceTo } from './repository.ts'
import { servingOf } from './served.ts'

/** How many services and how many releases a refusal names. */
const namedUsers = 5
const pageSize = 500

export interface Deletion {
  repository: string
  /** How revisions name this registry. */
  host: string
  tags: readonly string[]
  digests: readonly string[]
  /** What nothing else needs then: goes too, is told and left, or is not even looked for, as the protocol has it. */
  others: 'take' | 'leave' | 'ignore'
}

/** Who needs a manifest: services that run it, or may go back to it, and releases that devices run, or may. */
interface Users {
  services: { service: string; revision: number }[]
  releases: string[]
}
export type Refusal = DeletionPlan['refusals'][number] & Users
type Because = DeletionPlan['manifests'][number]['because']
type LeftBehind = DeletionPlan['leftBehind'][number]

/** What a deletion comes to. It may be carried out only where nothing refuses it. */
export interface PlannedDeletion {
  tags: Tag[]
  manifests: { manifest: Manifest; because: Because }[]
  leftBehind: LeftBehind[]
  refusals: Refusal[]
}

/**
 * Decides what a deletion takes away. The rules, the same for `/v2` and for people:
 * - a tag goes alone, its manifest stays; a manifest goes with all its tags;
 * - nothing goes that a revision of a service runs or a release has, and no manifest that an index names which stays;
 * - with `others: 'take'`, what nothing else needs then goes too: a manifest whose last tag goes, an index's children that no
 *   tag and no other index names, signatures and other referrers of what goes. What must stay is left behind.
 */
export async function planDeletion(reads: Reads, deletion: Deletion): Promise<PlannedDeletion> {
  const plan = new Planner(reads, deletion)
  await plan.addAsked()
  if (deletion.others !== 'ignore') await plan.addFollowers()
  return plan.result()
}

class Planner {
  readonly #reads: Reads
  readonly #deletion: Deletion
  readonly #tags = new Map<string, Tag>()
  readonly #manifests = new Map<string, { manifest: Manifest; because: Because }>()
  readonly #leftBehind = new Map<string, LeftBehind>()
  readonly #refusals: Refusal[] = []
  readonly #users = new Map<string, Users>()
  #parents: Map<string, string[]> | undefined

  constructor(reads: Reads, deletion: Deletion) {
    this.#reads = reads
    this.#deletion = deletion
  }

  result(): PlannedDeletion {
    return {
      tags: [...this.#tags.values()],
      manifests: [...this.#manifests.values()],
      leftBehind: [...this.#leftBehind.values()].filter(({ digest }) => !this.#manifests.has(digest)),
      refusals: this.#refusals,
    }
  }

  async addAsked(): Promise<void> {
    const { repository } = this.#deletion
    for (const name of new Set(this.#deletion.tags)) {
      const tag = await findTag(this.#reads, repository, name)
      if (tag === undefined)
        this.#refuse({ tag: name, reason: 'not-found', message: `${repository} has no tag ${name}.` })
      else if (await this.#isFree(tag.data.digest, name)) this.#tags.set(name, tag)
    }
    for (const digest of new Set(this.#deletion.digests)) {
      const manifest = await this.#manifest(digest)
      if (manifest === undefined) {
        this.#refuse({ digest, reason: 'not-found', message: `${repository} has no manifest ${digest}.` })
      } else if (await this.#isFree(digest, null)) await this.#take(manifest, 'asked')
    }
    for (const { manifest } of this.#manifests.values()) {
      const [user] = await this.#stayingParents(manifest.data.digest)
      if (user === undefined) continue
      const { digest } = manifest.data
      this.#refuse({ digest, reason: 'named-by-index', message: `The manifest ${user} needs it; delete that first.` })
    }
  }

  /** Walks from what goes to what only that needed, until nothing more follows. */
  async addFollowers(): Promise<void> {
    const queue = [...this.#manifests.keys()]
    const done = new Set(queue)
    const follow = (digest: string | undefined) => {
      if (digest === undefined || done.has(digest)) return
      done.add(digest)
      queue.push(digest)
    }
    for (const tag of [...this.#tags.values()]) follow(await this.#consider(tag.data.digest, 'untagged'))
    for (let at = 0; at < queue.length; at += 1) {
      const manifest = this.#manifests.get(queue[at] ?? '')?.manifest
      if (manifest === undefined) continue
      for (const child of manifest.data.manifests) follow(await this.#consider(child, 'child'))
      for (const referrer of await this.#referrersOf(manifest.data.digest)) {
        follow(await this.#consider(referrer, 'referrer'))
      }
      if (this.#manifests.size <= deletedManifestsLimit) continue
      const message = `More than ${deletedManifestsLimit} manifests would go with it; delete fewer at once.`
      this.#refuse({ digest: manifest.data.digest, reason: 'too-many', message })
      return
    }
  }

  /** Takes a manifest along where that is asked for and nothing needs it; answers its digest where it goes. */
  async #consider(digest: string, because: LeftBehind['because']): Promise<string | undefined> {
    if (this.#manifests.has(digest)) return because === 'untagged' ? digest : undefined
    const manifest = await this.#manifest(digest)
    if (manifest === undefined) return undefined
    const tags = await this.#tagsOf(digest)
    const tagsThatStay = tags.filter(({ data }) => !this.#tags.has(data.name))
    const strangers = tagsThatStay.filter(({ data }) => because !== 'referrer' || attachedBy(data.name) === undefined)
    const [parent] = await this.#stayingParents(digest)
    const isHeldOtherwise = strangers.length > 0 || parent !== undefined
    if (isHeldOtherwise && because !== 'referrer') return undefined
    const stays = await this.#whyItStays(digest, { tag: strangers[0]?.data.name, parent })
    if (this.#deletion.others === 'take' && stays === null) {
      await this.#take(manifest, because)
      return digest
    }
    const purpose = purposeOf(
      manifest.data,
      tags.map(({ data }) => data.name),
    )
    this.#leftBehind.set(digest, { digest, purpose, because, message: stays })
    return undefined
  }

  async #whyItStays(digest: string, held: { tag: string | undefined; parent: string | undefined }) {
    if (held.tag !== undefined) return `The tag ${held.tag} names it.`
    if (held.parent !== undefined) return `The manifest ${held.parent} needs it.`
    const { services, releases } = await this.#usersOf(digest)
    const [first] = services
    if (first !== undefined) return `Revision ${first.revision} of the service ${first.service} runs it.`
    return releases.length === 0 ? null : `The release ${releases[0]} has it.`
  }

  async #take(manifest: Manifest, because: Because): Promise<void> {
    const { digest } = manifest.data
    this.#manifests.set(digest, { manifest, because })
    for (const tag of await this.#tagsOf(digest)) this.#tags.set(tag.data.name, tag)
  }

  /** By `subject`, by cosign's tags, and the index of the referrers tag schema. */
  async #referrersOf(digest: string): Promise<string[]> {
    const { repository } = this.#deletion
    const found = new Set<string>()
    const page = await this.#reads.list(manifestKind, {
      where: { subject: referenceTo(repository, digest) },
      limit: pageSize,
    })
    for (const { data } of page.items) found.add(data.digest)
    for (const tag of [...attachingTags(digest).map((attaching) => attaching.tag), referrersTag(digest)]) {
      const known = await findTag(this.#reads, repository, tag)
      if (known !== undefined) found.add(known.data.digest)
    }
    return [...found]
  }

  async #isFree(digest: string, tag: string | null): Promise<boolean> {
    const users = await this.#usersOf(digest)
    const [first] = users.services
    if (first === undefined && users.releases.length === 0) return true
    const message =
      first === undefined
        ? `The release ${users.releases[0]} has ${digest}; devices run it, or may. Withdraw the release first.`
        : `Revision ${first.revision} of the service ${first.service} runs ${digest}, and it is kept to go back to. Delete the service first.`
    this.#refusals.push({ tag, digest, reason: 'in-use', message, ...users })
    return false
  }

  async #usersOf(digest: string): Promise<Users> {
    const known = this.#users.get(digest)
    if (known !== undefined) return known
    const { repository, host } = this.#deletion
    const serving = await servingOf(this.#reads, { repository, host, digest }, namedUsers)
    const services = serving.map(({ service, revision }) => ({
      service: service.data.name,
      revision: revision.data.number,
    }))
    const holding = await releasesHolding(this.#reads, { repository, digest }, namedUsers)
    const users = { services, releases: holding.map(({ name }) => name) }
    this.#users.set(digest, users)
    return users
  }

  #refuse(refusal: { tag?: string; digest?: string; reason: Refusal['reason']; message: string }): void {
    this.#refusals.push({ tag: null, digest: null, services: [], releases: [], ...refusal })
  }

  #manifest(digest: string): Promise<Manifest | undefined> {
    return findManifest(this.#reads, this.#deletion.repository, digest)
  }

  #tagsOf(digest: string): Promise<Tag[]> {
    return this.#reads.all(tagKind, { where: { manifest: referenceTo(this.#deletion.repository, digest) } })
  }

  /** Indexes that name it and do not go. Reads every index of the repository, once: deletes are rare. */
  async #stayingParents(digest: string): Promise<string[]> {
    this.#parents ??= await parentsIn(this.#reads, this.#deletion.repository)
    return (this.#parents.get(digest) ?? []).filter((parent) => !this.#manifests.has(parent))
  }
}

/** For each manifest that indexes of the repository name: those indexes. */
async function parentsIn(reads: Reads, repository: string): Promise<Map<string, string[]>> {
  const parents = new Map<string, string[]>()
  for await (const page of pagesOf(reads, manifestKind, { where: { indexOf: repository } })) {
    for (const { data } of page) {
      for (const child of data.manifests) {
        const known = parents.get(child)
        if (known === undefined) parents.set(child, [data.digest])
        else known.push(data.digest)
      }
    }
  }
  return parents
}
