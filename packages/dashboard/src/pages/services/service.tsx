import type { Service } from '@freehold/contracts'
import { getRouteApi } from '@tanstack/react-router'
import { OnePage } from '../../app/one-page.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Page } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { TabPanel, Tabs } from '../../components/tabs.tsx'
import { ServiceActions } from './actions.tsx'
import { Logs } from './logs.tsx'
import { ServiceOverview } from './overview.tsx'
import { Revisions } from './revisions.tsx'
import { Settings } from './settings.tsx'
import type { ServiceTab } from './tabs.ts'

const route = getRouteApi('/shell/services/$id')

export function ServicePage() {
  const { id } = route.useParams()
  const service = useOne('services', id)
  return (
    <OnePage query={service} title="Service" what="service" list={{ to: '/services', label: 'Services' }}>
      {(service) => <ServiceTabs key={id} service={service} />}
    </OnePage>
  )
}

function ServiceTabs({ service }: { service: Service }) {
  const { tab = 'overview' } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const { status, data } = service
  const tabs: { name: ServiceTab; label: string }[] = [
    { name: 'overview', label: 'Overview' },
    { name: 'revisions', label: 'Revisions' },
    ...(may('services:logs') ? [{ name: 'logs', label: 'Logs' } as const] : []),
    ...(may('services:write') ? [{ name: 'settings', label: 'Settings' } as const] : []),
  ]
  return (
    <Page
      title={data.name}
      parent={{ to: '/services', label: 'Services' }}
      mark={<State state={status.state} />}
      lead={<p aria-live="polite">{status.message}</p>}
      actions={<ServiceActions service={service} />}
    >
      <Tabs
        label="Service"
        tabs={tabs}
        open={tab}
        onOpen={(name) => void navigate({ search: name === 'overview' ? {} : { tab: name }, replace: true })}
      >
        <TabPanel name="overview">
          <ServiceOverview service={service} />
        </TabPanel>
        <TabPanel name="revisions">
          <Revisions service={service} />
        </TabPanel>
        <TabPanel name="logs">
          <Logs service={service} />
        </TabPanel>
        <TabPanel name="settings">
          <Settings service={service} />
        </TabPanel>
      </Tabs>
    </Page>
  )
}
