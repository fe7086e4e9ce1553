import type { DeviceStatus } from '@freehold/contracts'
import { Quiet, Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'

type Container = NonNullable<DeviceStatus['apps']>['containers'][number]

/** The containers that the device last reported, each with the state its engine gives it. */
export function Containers({ containers }: { containers: readonly Container[] }) {
  const named = containers.filter((container) => container !== null)
  return (
    <Section title="Containers" flush>
      {named.length === 0 ? (
        <Quiet>It reported none.</Quiet>
      ) : (
        <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface text-sm">
          {named.map(({ serviceName, status, containerId }, index) => (
            <li key={containerId ?? `${serviceName} ${index}`} className="flex items-center gap-3 px-4 py-2">
              <span className="min-w-0 flex-1 font-medium wrap-anywhere">{serviceName ?? 'unnamed'}</span>
              <State state={(status ?? 'unknown').toLowerCase()} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}
