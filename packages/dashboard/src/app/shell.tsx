import { ApiError } from '@freehold/client'
import type { Identity } from '@freehold/contracts'
import { Outlet, useLocation, useNavigate } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import { Button, IconButton } from '../components/button.tsx'
import { Dialog } from '../components/dialog.tsx'
import { ErrorNote } from '../components/error-note.tsx'
import { AccountIcon, LeaveIcon, MenuIcon, WarnIcon } from '../components/icons.tsx'
import { Menu, MenuChoice, MenuItem, MenuSeparator } from '../components/menu.tsx'
import { Skeleton } from '../components/page.tsx'
import { useLiveFeed } from './live.ts'
import { Brand, Navigation } from './navigation.tsx'
import { useIdentity, useLeave } from './session.ts'
import { type Theme, themes, useTheme } from './theme.ts'

/** Everything behind the sign-in: who is not signed in is sent there, and comes back to where they wanted to go. */
export function Shell() {
  const identity = useIdentity()
  const location = useLocation()
  if (identity.isPending) return <Waiting />
  if (identity.isError) {
    return (
      <main className="mx-auto max-w-md px-4 py-16">
        <ErrorNote error={identity.error} onRetry={() => void identity.refetch()} />
      </main>
    )
  }
  if (identity.data === null) return <ToSignIn />
  return <SignedIn key={identity.data.userId} identity={identity.data} path={location.pathname} />
}

/** Navigates once: the address changes at once, while this stays until the other page is loaded. */
function ToSignIn() {
  const navigate = useNavigate()
  const { href } = useLocation()
  const wanted = useRef(href)
  useEffect(() => {
    void navigate({ to: '/sign-in', search: wanted.current === '/' ? {} : { next: wanted.current }, replace: true })
  }, [navigate])
  return <Waiting />
}

function SignedIn({ identity, path }: { identity: Identity; path: string }) {
  const { isReady, lost } = useLiveFeed()
  const [isMenuOpen, setMenuOpen] = useState(false)
  const mainRef = useMainFocus(path)
  return (
    <div className="min-h-dvh md:grid md:grid-cols-[13.5rem_minmax(0,1fr)]">
      <a
        href="#main"
        className="sr-only z-50 rounded-md bg-accent px-3 py-2 text-accent-ink focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to content
      </a>
      <header className="sticky top-0 z-30 flex h-13 items-center justify-between gap-2 border-b border-line bg-canvas px-4 md:hidden">
        <Brand />
        <div className="flex items-center gap-1">
          <UserMenu identity={identity} />
          <IconButton label="Open navigation" onClick={() => setMenuOpen(true)}>
            <MenuIcon />
          </IconButton>
        </div>
      </header>
      {isMenuOpen && (
        <Dialog title="Go to" onClose={() => setMenuOpen(false)}>
          <Navigation onGo={() => setMenuOpen(false)} />
        </Dialog>
      )}
      <div className="sticky top-0 flex h-dvh flex-col gap-5 border-r border-line px-3 py-4 max-md:hidden">
        <div className="px-2.5">
          <Brand />
        </div>
        <div className="flex-1 overflow-y-auto">
          <Navigation />
        </div>
        <UserMenu identity={identity} wide />
      </div>
      <main ref={mainRef} id="main" tabIndex={-1} className="min-w-0 outline-none">
        <LostBanner lost={lost} />
        <div className="mx-auto max-w-6xl px-4 py-6 md:px-8">{isReady ? <Outlet /> : <Skeleton rows={6} />}</div>
      </main>
    </div>
  )
}

/** Going to another page moves focus to its content, as a page load would. */
function useMainFocus(path: string) {
  const ref = useRef<HTMLElement>(null)
  const before = useRef(path)
  useEffect(() => {
    if (before.current === path) return
    before.current = path
    ref.current?.focus({ preventScroll: true })
  }, [path])
  return ref
}

function LostBanner({ lost }: { lost: ApiError | 'closed' | null }) {
  return (
    <div role="status" className="sticky top-0 z-20 max-md:top-13">
      {lost !== null && (
        <p className="flex items-center gap-2 border-b border-warn/40 bg-warn-soft px-4 py-2 text-sm font-medium text-warn md:px-8">
          <WarnIcon />
          <span>
            Connection lost, retrying. What you see may be out of date.
            {lost instanceof ApiError && <span className="font-normal"> {lost.message}</span>}
          </span>
        </p>
      )}
    </div>
  )
}

function UserMenu({ identity, wide = false }: { identity: Identity; wide?: boolean }) {
  const leave = useLeave()
  const [theme, setTheme] = useTheme()
  return (
    <Menu
      label="Account and appearance"
      trigger={
        <Button
          look="quiet"
          aria-label={`Signed in as ${identity.name}`}
          className={wide ? 'w-full justify-start! px-2.5!' : 'px-2!'}
        >
          <AccountIcon />
          <span className="max-w-32 truncate">{identity.name}</span>
          {wide && <span className="ml-auto text-xs font-normal">{identity.role}</span>}
        </Button>
      }
    >
      <MenuChoice label="Theme" value={theme} choices={themes} onChoose={(value) => setTheme(value as Theme)} />
      <MenuSeparator />
      <MenuItem onSelect={() => void leave()}>
        <LeaveIcon />
        Sign out
      </MenuItem>
    </Menu>
  )
}

function Waiting() {
  return (
    <main className="mx-auto max-w-md px-4 py-16">
      <Skeleton rows={4} />
    </main>
  )
}
