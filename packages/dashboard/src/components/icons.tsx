import type { ReactNode, SVGProps } from 'react'

export type IconProps = Omit<SVGProps<SVGSVGElement>, 'children'>

/** Small line icons, 16 by 16. They only accompany words, so they are hidden from screen readers. */
function Icon({ children, className, ...rest }: IconProps & { children: ReactNode }) {
  return (
    <svg
      viewBox="0 0 16 16"
      width="16"
      height="16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
      {...rest}
      className={`shrink-0 ${className ?? ''}`}
    >
      {children}
    </svg>
  )
}

export const OverviewIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M2.5 8.5 8 3l5.5 5.5M4 7.5V13h8V7.5" />
  </Icon>
)
export const ClusterIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01" />
  </Icon>
)
export const RegistryIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M2 8h12M8 2c2 2 2.5 4 2.5 6S10 12 8 14c-2-2-2.5-4-2.5-6S6 4 8 2" />
  </Icon>
)
export const ServiceIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m8 2 5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6" />
  </Icon>
)
export const ImageIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m8 2.5 6 3-6 3-6-3zM2 8.25l6 3 6-3M2 11l6 3 6-3" />
  </Icon>
)
export const DeviceIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14" />
  </Icon>
)
export const BuildIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M4 2.5h5.5L12 5v8.5H4zM6 2.5v3h3.5v-3M6 13.5v-4h4v4" />
  </Icon>
)
export const AccountIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 8a2.75 2.75 0 1 0 0-5.5A2.75 2.75 0 0 0 8 8ZM3 13.5c.6-2.3 2.5-3.5 5-3.5s4.4 1.2 5 3.5" />
  </Icon>
)
export const UsersIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M6 7.5a2.25 2.25 0 1 0 0-4.5 2.25 2.25 0 0 0 0 4.5ZM1.5 13c.5-2 2.2-3.25 4.5-3.25S10 11 10.5 13M10.5 3.2a2.25 2.25 0 0 1 0 4.1M12.5 10.2c1.1.5 1.8 1.4 2 2.8" />
  </Icon>
)
export const AuditIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M3.5 2.5h9v11h-9zM6 5.5h4M6 8h4M6 10.5h2" />
  </Icon>
)
export const GoodIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM5.5 8.2l1.7 1.7 3.3-3.6" />
  </Icon>
)
export const BadIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6 6l4 4M10 6l-4 4" />
  </Icon>
)
export const WarnIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 2.5 14.5 13.5h-13zM8 6.5v3M8 11.5h.01" />
  </Icon>
)
export const IdleIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM5.5 8h5" />
  </Icon>
)
export const WaitIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.8V8l2 1.6" />
  </Icon>
)
export const MovingIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M13.5 8A5.5 5.5 0 1 1 11 3.4M13.5 2.5v3h-3" />
  </Icon>
)
export const UnknownIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.4 6.3c.2-1 .9-1.5 1.7-1.5.9 0 1.6.6 1.6 1.4 0 1.1-1.6 1.2-1.6 2.3M8 10.9h.01" />
  </Icon>
)
export const CopyIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1" />
  </Icon>
)
export const CheckIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m3 8.5 3.2 3L13 4.5" />
  </Icon>
)
export const CloseIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
)
export const PlusIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 3v10M3 8h10" />
  </Icon>
)
export const SearchIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3l3.2 3.2" />
  </Icon>
)
export const MoreIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2.2" />
  </Icon>
)
export const MenuIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11" />
  </Icon>
)
export const ChevronIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m6 3.5 4.5 4.5L6 12.5" />
  </Icon>
)
export const DownIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M3.5 6 8 10.5 12.5 6" />
  </Icon>
)
export const TrashIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.8 7.5v3.5M9.2 7.5v3.5" />
  </Icon>
)
export const LeaveIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M6.5 2.5h-4v11h4M6.5 8h7M11 5.5 13.5 8 11 10.5" />
  </Icon>
)
export const OpenIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M7 3H3v10h10V9M9.5 2.5h4v4M13.5 2.5l-6 6" />
  </Icon>
)
