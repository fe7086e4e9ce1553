import { z } from 'zod'
import type { ChangeEntry } from './identity.ts'

const entryData = z.object({
  data: z.object({ repository: z.string(), digest: z.string(), name: z.string().optional() }),
})

/**
 * What an entry of the change feed says about a repository, for people: `pushed workloads/web:latest (sha256:0123…)`.
 * The actor's name stands before it. Undefined for entries about anything else.
 */
export function describeImageChange(
  entry: Pick<ChangeEntry, 'kind' | 'operation' | 'after' | 'before'>,
): string | undefined {
  const before = entryData.safeParse(entry.before).data?.data
  const after = entryData.safeParse(entry.after).data?.data
  const data = after ?? before
  if (data === undefined || entry.operation === 'status') return undefined
  const digest = shortened(data.digest)
  if (entry.kind === 'tag') {
    const tag = `${data.repository}:${data.name}`
    if (entry.operation === 'delete') return `deleted the tag ${tag} (${digest})`
    const was = before === undefined || before.digest === data.digest ? '' : `, was ${shortened(before.digest)}`
    return `pushed ${tag} (${digest}${was})`
  }
  const verb = entry.operation === 'delete' ? 'deleted' : 'pushed'
  if (entry.kind === 'manifest') return `${verb} the manifest ${data.repository}@${digest}`
  if (entry.kind !== 'blob-link') return undefined
  return `${entry.operation === 'delete' ? 'took' : 'brought'} the blob ${digest} ${entry.operation === 'delete' ? 'out of' : 'into'} ${data.repository}`
}

/** The first twelve characters tell digests apart. */
function shortened(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return `${algorithm}:${hex.slice(0, 12)}`
}
