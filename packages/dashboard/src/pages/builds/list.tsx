import { buildStates, imageKinds } from '@freehold/contracts'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { ListTable } from '../../app/list-table.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { Filter } from '../../components/filter.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { KindCell } from './kind-cell.tsx'
import { BuildPlaces } from './places.tsx'
import { type Build, isOpenBuild, kindWords, nameOfBuild } from './words.ts'

const route = getRouteApi('/shell/builds')
const rowId = ({ id }: Build) => id

const columnsOf = (baseNames: ReadonlyMap<string, string>) =>
  defineColumns<Build>([
    {
      id: 'name',
      header: 'Build',
      value: nameOfBuild,
      cell: (build) => (
        <span className="flex flex-col">
          <Link
            to="/builds/$id"
            params={{ id: build.id }}
            className="font-medium hover:underline [overflow-wrap:anywhere]"
          >
            {nameOfBuild(build)}
          </Link>
          <span className="text-xs text-muted sm:hidden">{kindWords[build.data.imageKind]}</span>
        </span>
      ),
    },
    {
      id: 'state',
      header: 'State',
      value: ({ status }) => status.state,
      cell: (build) => (
        <span className="flex flex-col items-start gap-0.5">
          <State state={build.status.state} title={build.status.message} />
          {isOpenBuild(build) && build.status.progress !== null && (
            <span className="text-xs text-muted">{percentOf(build.status.progress)}</span>
          )}
        </span>
      ),
    },
    {
      id: 'kind',
      header: 'Kind',
      from: 'sm',
      value: ({ data }) => data.imageKind,
      cell: ({ data }) => <KindCell imageKind={data.imageKind} architecture={data.architecture} />,
    },
    {
      id: 'base',
      header: 'Base image',
      from: 'md',
      cell: ({ data }) => (
        <span className="break-all text-muted">
          {data.baseImageId === null
            ? `Ubuntu ${data.ubuntuVersion}`
            : (baseNames.get(data.baseImageId) ?? 'one that is gone')}
        </span>
      ),
    },
    {
      id: 'begun',
      header: 'Begun',
      align: 'right',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt, data }) => (
        <span className="flex flex-col items-end text-muted">
          <Ago at={createdAt} />
          {data.requestedBy !== undefined && <span className="text-xs break-all">by {data.requestedBy}</span>}
        </span>
      ),
    },
  ])

function percentOf({ phase, doneBytes, totalBytes }: NonNullable<Build['status']['progress']>): string {
  if (totalBytes === null || totalBytes <= 0) return phase
  return `${phase} ${Math.min(100, Math.floor((doneBytes / totalBytes) * 100))} %`
}

/** What changed last first. */
export function BuildsPage() {
  const { state, kind, base } = route.useSearch()
  const navigate = route.useNavigate()
  const mayWrite = useMay()('builds:write')
  const builds = useList('builds', { state, imageKind: kind, baseImageId: base, order: 'changed' })
  const bases = useList('baseImages', { limit: wholePage })
  const rows = builds.items
  const columns = useMemo(() => columnsOf(new Map(bases.items.map(({ id, data }) => [id, data.name]))), [bases.items])
  const isFiltered = state !== undefined || kind !== undefined || base !== undefined
  const narrow = (change: { state?: string | undefined; kind?: string | undefined; base?: string | undefined }) =>
    void navigate({ search: (before) => ({ ...before, ...change }) as never })
  const make = (
    <ButtonLink to="/builds/new" look="primary">
      <PlusIcon />
      Build image
    </ButtonLink>
  )
  return (
    <Page
      title="Builds"
      places={<BuildPlaces />}
      lead={<p>Each makes an image for one device, which enrols by itself when it starts from it.</p>}
      actions={mayWrite && (rows.length > 0 || isFiltered) && make}
    >
      {(rows.length > 0 || isFiltered) && (
        <search className="flex flex-wrap items-center gap-2">
          <Filter
            label="State"
            all="All states"
            value={state}
            choices={buildStates.map((value) => ({ value, label: value }))}
            onChange={(value) => narrow({ state: value })}
          />
          <Filter
            label="Kind"
            all="All kinds"
            value={kind}
            choices={imageKinds.map((value) => ({ value, label: kindWords[value] }))}
            onChange={(value) => narrow({ kind: value })}
          />
          <Filter
            label="Base image"
            all="All bases"
            value={base}
            choices={bases.items.map(({ id, data }) => ({ value: id, label: data.name }))}
            onChange={(value) => narrow({ base: value })}
          />
        </search>
      )}
      <ListTable
        label="Builds"
        list={builds}
        rows={rows}
        rowId={rowId}
        columns={columns}
        skeletonRows={4}
        empty={
          isFiltered ? (
            <Empty title="No build fits.">Choose another state, kind or base image.</Empty>
          ) : (
            <Empty title="No builds yet" action={mayWrite && make}>
              An image is made from Ubuntu’s installer or a disk image of yours, and written to a stick, a card or a
              disk.
            </Empty>
          )
        }
      />
    </Page>
  )
}
