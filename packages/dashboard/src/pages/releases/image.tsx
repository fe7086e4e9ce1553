import type { Release } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useClient } from '../../app/client.tsx'
import { contentsKey } from '../../app/queries.ts'
import { shortDigest } from '../../components/format.ts'

/** An image of a release, with the way to what the registry knows of it. */
export function ImageOfRelease({ image }: { image: Release['data']['services'][number]['image'] }) {
  const { repository, digest } = image
  const client = useClient()
  const { data: id } = useQuery({
    queryKey: [...contentsKey, 'id-of', repository],
    queryFn: async ({ signal }) => {
      const { items } = await client.images.list({ query: { search: repository, limit: 100 }, signal })
      return items.find(({ data }) => data.name === repository && data.location.internal)?.id ?? null
    },
  })
  const text = (
    <>
      <span className="wrap-anywhere">{repository}</span>{' '}
      <code className="font-mono text-xs" title={digest}>
        {shortDigest(digest)}
      </code>
    </>
  )
  if (typeof id !== 'string') return <span>{text}</span>
  return (
    <Link to="/images/$id/$digest" params={{ id, digest }} className="hover:underline">
      {text}
    </Link>
  )
}
