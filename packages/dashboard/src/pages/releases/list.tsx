import type { Channel, Release } from '@freehold/contracts'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { ListTable } from '../../app/list-table.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { Filter } from '../../components/filter.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { DevicePlaces } from '../devices/places.tsx'
import { nameOfRelease } from './names.tsx'

const route = getRouteApi('/shell/releases')

interface Row {
  release: Release
  /** Names of the channels that carry it. */
  carriedBy: string[]
}
const rowId = ({ release }: Row) => release.id

const columns = defineColumns<Row>([
  {
    id: 'name',
    header: 'Release',
    value: ({ release }) => nameOfRelease(release),
    cell: ({ release }) => (
      <Link to="/releases/$id" params={{ id: release.id }} className="font-medium wrap-anywhere hover:underline">
        {nameOfRelease(release)}
      </Link>
    ),
  },
  {
    id: 'type',
    header: 'Type',
    from: 'sm',
    value: ({ release }) => release.data.type,
    cell: ({ release }) => typeWords[release.data.type],
  },
  {
    id: 'state',
    header: 'State',
    value: ({ release }) => release.status.state,
    cell: ({ release: { status } }) => <State state={status.state} title={status.message} />,
  },
  {
    id: 'carried',
    header: 'Carried by',
    value: ({ carriedBy }) => carriedBy.join(' '),
    cell: ({ carriedBy }) =>
      carriedBy.length === 0 ? (
        <span className="text-muted">–</span>
      ) : (
        <span className="flex flex-wrap gap-1">
          {carriedBy.map((name) => (
            <Tag key={name} tone="good">
              {name}
            </Tag>
          ))}
        </span>
      ),
  },
  {
    id: 'made',
    header: 'Made',
    from: 'md',
    align: 'right',
    value: ({ release }) => release.createdAt,
    cell: ({ release }) => (
      <span className="text-muted">
        <Ago at={release.createdAt} />
      </span>
    ),
  },
])

export const typeWords = { app: 'Application', host: 'Host system' } as const
const typeChoices = Object.entries(typeWords).map(([value, label]) => ({ value, label }))
const stateChoices = ['unsigned', 'signed', 'withdrawn'].map((value) => ({ value, label: value }))

/** What changed last first: people look for what they made last. */
export function ReleasesPage() {
  const { product, type, state } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const filters = { product, type, state }
  const releases = useList('releases', { ...filters, order: 'changed' })
  const channels = useList('channels', { limit: wholePage })
  const rows = useMemo(() => rowsOf(releases.items, channels.items), [releases.items, channels.items])
  const products = [...new Set([...releases.items.map(({ data }) => data.product), ...(product ? [product] : [])])]
  const isFiltered = Object.values(filters).some((value) => value !== undefined)
  const narrow = (change: { product?: string | undefined; type?: string | undefined; state?: string | undefined }) =>
    void navigate({ search: (before) => ({ ...before, ...change }) as never })
  return (
    <Page
      title="Releases"
      places={<DevicePlaces />}
      lead={<p>What devices run, one version each. A release never changes; a rollout brings it to devices.</p>}
      actions={
        may('releases:write') && (
          <ButtonLink to="/releases/new" look="primary">
            <PlusIcon />
            Make release
          </ButtonLink>
        )
      }
    >
      {(rows.length > 0 || isFiltered) && (
        <search className="flex flex-wrap items-center gap-2">
          <Filter
            label="Product"
            all="All products"
            value={product}
            choices={products.toSorted().map((value) => ({ value, label: value }))}
            onChange={(value) => narrow({ product: value })}
          />
          <Filter
            label="Type"
            all="All types"
            value={type}
            choices={typeChoices}
            onChange={(value) => narrow({ type: value })}
          />
          <Filter
            label="State"
            all="All states"
            value={state}
            choices={stateChoices}
            onChange={(value) => narrow({ state: value })}
          />
        </search>
      )}
      <ListTable
        label="Releases"
        list={releases}
        rows={rows}
        rowId={rowId}
        columns={columns}
        skeletonRows={6}
        empty={
          isFiltered ? (
            <Empty title="No release fits.">Choose another product, type or state.</Empty>
          ) : (
            <NoReleases mayWrite={may('releases:write')} />
          )
        }
      />
    </Page>
  )
}

function NoReleases({ mayWrite }: { mayWrite: boolean }) {
  return (
    <Empty
      title="No releases yet"
      action={
        mayWrite && (
          <ButtonLink to="/releases/new" look="primary">
            Make a release
          </ButtonLink>
        )
      }
    >
      <p>Push the images of its containers to this registry first. Then make the release, here or with:</p>
      <code className="overflow-x-auto font-mono text-xs">
        freehold releases create --product shop --release-version 1.0.0 --service web=shop/web:1.0.0
      </code>
    </Empty>
  )
}

function rowsOf(releases: readonly Release[], channels: readonly Channel[]): Row[] {
  return releases.map((release) => ({
    release,
    carriedBy: channels.filter(({ status }) => status.releaseId === release.id).map(({ data }) => data.name),
  }))
}
