import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import type { Choice } from '../../components/field.tsx'

/** External registries to choose from; `none` is what choosing none of them means. */
export function useRegistryChoices(none: string): Choice[] {
  const may = useMay()
  const { items } = useList(
    'externalRegistries',
    { type: 'docker', limit: wholePage },
    { enabled: may('external-registries:read') },
  )
  return [
    { value: '', label: none },
    ...items.map(({ id, data }) => ({ value: id, label: `${data.name} (${data.url})` })),
  ]
}
