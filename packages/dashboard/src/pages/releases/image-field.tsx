import { useQuery } from '@tanstack/react-query'
import { useClient } from '../../app/client.tsx'
import { contentsKey, useList, wholePage } from '../../app/queries.ts'
import { SuggestField } from '../../components/field.tsx'

/** An image of our registry as `repository:tag`: repositories are suggested, and their tags once one is chosen. */
export function ImageField(props: {
  label: string
  value: string
  onChange: (value: string) => void
  placeholder?: string
  required?: boolean
  error?: string | undefined
}) {
  const client = useClient()
  const images = useList('images', { limit: wholePage })
  const ours = images.items.filter(({ data }) => data.location.internal)
  const repository = props.value.trim().split(/[:@]/)[0] ?? ''
  const chosen = ours.find(({ data }) => data.name === repository)
  const tags = useQuery({
    queryKey: [...contentsKey, 'tags-of', chosen?.id],
    enabled: chosen !== undefined,
    queryFn: ({ signal }) => client.images.tags({ params: { id: chosen?.id ?? '' }, query: { limit: 100 }, signal }),
  })
  const found = chosen === undefined ? [] : (tags.data?.items ?? [])
  const digest = found.find(({ tag }) => props.value.trim() === `${repository}:${tag}`)?.digest
  return (
    <SuggestField
      placeholder="shop/web:1.0.0"
      {...props}
      suggestions={
        found.length > 0 ? found.map(({ tag }) => `${repository}:${tag}`) : ours.map(({ data }) => `${data.name}:`)
      }
      hint={
        digest === undefined ? (
          'repository:tag of this registry; the tag is resolved to its digest now'
        ) : (
          <>
            Now <code className="font-mono break-all">{digest.slice(0, 19)}…</code>, and so it stays
          </>
        )
      }
    />
  )
}
