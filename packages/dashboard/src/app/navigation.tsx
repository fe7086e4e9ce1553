import type { Action } from '@freehold/contracts'
import { Link, useLocation } from '@tanstack/react-router'
import {
  AccountIcon,
  AuditIcon,
  BuildIcon,
  ClusterIcon,
  DeviceIcon,
  ImageIcon,
  OverviewIcon,
  RegistryIcon,
  ServiceIcon,
  UsersIcon,
} from '../components/icons.tsx'
import { useMay } from './session.ts'

const places = [
  { to: '/', label: 'Overview', icon: OverviewIcon, needs: 'status:read' },
  { to: '/services', label: 'Services', icon: ServiceIcon, needs: 'services:read' },
  { to: '/clusters', label: 'Clusters', icon: ClusterIcon, needs: 'clusters:read' },
  { to: '/devices', label: 'Devices', icon: DeviceIcon, needs: 'devices:read' },
  { to: '/builds', label: 'Builds', icon: BuildIcon, needs: 'builds:read' },
  { to: '/images', label: 'Images', icon: ImageIcon, needs: 'images:read' },
  { to: '/external-registries', label: 'Registries', icon: RegistryIcon, needs: 'external-registries:read' },
  { to: '/users', label: 'Users', icon: UsersIcon, needs: 'users:read' },
  { to: '/audit', label: 'Audit log', icon: AuditIcon, needs: 'audit:read' },
  { to: '/account', label: 'Account', icon: AccountIcon, needs: 'identity:self' },
] as const satisfies readonly { needs: Action; [key: string]: unknown }[]

/** Pages of the devices' releases stand below Devices, wherever their addresses are. */
const deviceAreas = /^\/(releases|release-rollouts|channels|join-tokens|signed-updates)(\/|$)/

/** What builds are made from, and by whom, stands below Builds. */
const buildAreas = /^\/(base-images|build-workers)(\/|$)/

/** The places of the dashboard this role may go to. */
export function Navigation({ onGo }: { onGo?: () => void }) {
  const may = useMay()
  const { pathname } = useLocation()
  return (
    <nav aria-label="Main">
      <ul className="flex flex-col gap-0.5">
        {places
          .filter(({ needs }) => may(needs))
          .map(({ to, label, icon: Icon }) => (
            <li key={to}>
              <Link
                to={to}
                aria-current={isBelow(to, pathname) ? 'page' : undefined}
                activeOptions={{ exact: to === '/' }}
                {...(onGo === undefined ? {} : { onClick: onGo })}
                className="flex h-8 items-center gap-2.5 rounded-md px-2.5 text-sm font-medium text-muted hover:bg-sunken hover:text-ink aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent max-md:h-11"
              >
                <Icon />
                {label}
              </Link>
            </li>
          ))}
      </ul>
    </nav>
  )
}

function isBelow(to: string, pathname: string): boolean {
  if (to === '/devices') return deviceAreas.test(pathname)
  return to === '/builds' && buildAreas.test(pathname)
}

export function Brand() {
  return (
    <Link to="/" className="flex items-center gap-2 rounded-md text-lg font-semibold tracking-tight">
      <BrandMark />
      Freehold
    </Link>
  )
}

export function BrandMark() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" className="fill-accent" />
      <path
        d="M9 24V9h14M9 16.5h10"
        fill="none"
        className="stroke-accent-ink"
        strokeWidth="3.4"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  )
}
