import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Outlet } from '@tanstack/react-router'
import { Crashed, Missing } from './app/fallbacks.tsx'
import { Shell } from './app/shell.tsx'
import { type BuildStep, buildSteps } from './pages/builds/steps.ts'
import { type ImageTab, imageTabs } from './pages/images/tabs.ts'
import { type ServiceTab, serviceTabs } from './pages/services/tabs.ts'

const root = createRootRoute({ component: Outlet, notFoundComponent: Missing, errorComponent: Crashed })

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: (search): { next?: string } => text(search, 'next'),
  component: lazyRouteComponent(() => import('./pages/sign-in/sign-in.tsx'), 'SignInPage'),
})
const setup = createRoute({
  getParentRoute: () => root,
  path: '/setup',
  validateSearch: (search): { token?: string } => text(search, 'token'),
  component: lazyRouteComponent(() => import('./pages/setup/setup.tsx'), 'SetupPage'),
})

const shell = createRoute({ getParentRoute: () => root, id: 'shell', component: Shell })
const page = <Path extends string>(path: Path) => ({ getParentRoute: () => shell, path }) as const

const overview = createRoute({
  ...page('/'),
  component: lazyRouteComponent(() => import('./pages/overview/overview.tsx'), 'OverviewPage'),
})
const clusters = createRoute({
  ...page('/clusters'),
  component: lazyRouteComponent(() => import('./pages/clusters/list.tsx'), 'ClustersPage'),
})
const cluster = createRoute({
  ...page('/clusters/$id'),
  component: lazyRouteComponent(() => import('./pages/clusters/cluster.tsx'), 'ClusterPage'),
})
const services = createRoute({
  ...page('/services'),
  validateSearch: (search): { cluster?: string; state?: string } => ({
    ...text(search, 'cluster'),
    ...text(search, 'state'),
  }),
  component: lazyRouteComponent(() => import('./pages/services/list.tsx'), 'ServicesPage'),
})
const newService = createRoute({
  ...page('/services/new'),
  validateSearch: (search): { cluster?: string } => text(search, 'cluster'),
  component: lazyRouteComponent(() => import('./pages/services/create.tsx'), 'CreateServicePage'),
})
const service = createRoute({
  ...page('/services/$id'),
  validateSearch: (search): { tab?: ServiceTab } => {
    const tab = serviceTabs.find((name) => name === search.tab)
    return tab === undefined ? {} : { tab }
  },
  component: lazyRouteComponent(() => import('./pages/services/service.tsx'), 'ServicePage'),
})
const images = createRoute({
  ...page('/images'),
  component: lazyRouteComponent(() => import('./pages/images/list.tsx'), 'ImagesPage'),
})
const image = createRoute({
  ...page('/images/$id'),
  validateSearch: (search): { tab?: ImageTab } => {
    const tab = imageTabs.find((name) => name === search.tab)
    return tab === undefined ? {} : { tab }
  },
  component: lazyRouteComponent(() => import('./pages/images/image.tsx'), 'ImagePage'),
})
const digest = createRoute({
  ...page('/images/$id/$digest'),
  component: lazyRouteComponent(() => import('./pages/images/digest.tsx'), 'DigestPage'),
})
const devices = createRoute({
  ...page('/devices'),
  validateSearch: (search): { state?: string; attention?: string; update?: string } => ({
    ...text(search, 'state'),
    ...text(search, 'attention'),
    ...text(search, 'update'),
  }),
  component: lazyRouteComponent(() => import('./pages/devices/list.tsx'), 'DevicesPage'),
})
const device = createRoute({
  ...page('/devices/$id'),
  component: lazyRouteComponent(() => import('./pages/devices/device.tsx'), 'DevicePage'),
})
const builds = createRoute({
  ...page('/builds'),
  validateSearch: (search): { state?: string; kind?: string; base?: string } => ({
    ...text(search, 'state'),
    ...text(search, 'kind'),
    ...text(search, 'base'),
  }),
  component: lazyRouteComponent(() => import('./pages/builds/list.tsx'), 'BuildsPage'),
})
const newBuild = createRoute({
  ...page('/builds/new'),
  validateSearch: (search): { step?: BuildStep; from?: string; base?: string } => {
    const step = buildSteps.find((name) => name === search.step)
    return { ...(step === undefined ? {} : { step }), ...text(search, 'from'), ...text(search, 'base') }
  },
  component: lazyRouteComponent(() => import('./pages/builds/create.tsx'), 'CreateBuildPage'),
})
const build = createRoute({
  ...page('/builds/$id'),
  component: lazyRouteComponent(() => import('./pages/builds/build.tsx'), 'BuildPage'),
})
const baseImages = createRoute({
  ...page('/base-images'),
  component: lazyRouteComponent(() => import('./pages/builds/base-images.tsx'), 'BaseImagesPage'),
})
const buildWorkers = createRoute({
  ...page('/build-workers'),
  component: lazyRouteComponent(() => import('./pages/builds/workers.tsx'), 'BuildWorkersPage'),
})
const joinTokens = createRoute({
  ...page('/join-tokens'),
  component: lazyRouteComponent(() => import('./pages/devices/join-tokens.tsx'), 'JoinTokensPage'),
})
const releases = createRoute({
  ...page('/releases'),
  validateSearch: (search): { product?: string; state?: string; type?: string } => ({
    ...text(search, 'product'),
    ...text(search, 'state'),
    ...text(search, 'type'),
  }),
  component: lazyRouteComponent(() => import('./pages/releases/list.tsx'), 'ReleasesPage'),
})
const newRelease = createRoute({
  ...page('/releases/new'),
  component: lazyRouteComponent(() => import('./pages/releases/create.tsx'), 'CreateReleasePage'),
})
const release = createRoute({
  ...page('/releases/$id'),
  component: lazyRouteComponent(() => import('./pages/releases/release.tsx'), 'ReleasePage'),
})
const releaseRollouts = createRoute({
  ...page('/release-rollouts'),
  component: lazyRouteComponent(() => import('./pages/release-rollouts/list.tsx'), 'ReleaseRolloutsPage'),
})
const newReleaseRollout = createRoute({
  ...page('/release-rollouts/new'),
  validateSearch: (search): { channel?: string; release?: string } => ({
    ...text(search, 'channel'),
    ...text(search, 'release'),
  }),
  component: lazyRouteComponent(() => import('./pages/release-rollouts/create.tsx'), 'BeginRolloutPage'),
})
const releaseRollout = createRoute({
  ...page('/release-rollouts/$id'),
  validateSearch: (search): { state?: string } => text(search, 'state'),
  component: lazyRouteComponent(() => import('./pages/release-rollouts/rollout.tsx'), 'ReleaseRolloutPage'),
})
const channels = createRoute({
  ...page('/channels'),
  component: lazyRouteComponent(() => import('./pages/channels/channels.tsx'), 'ChannelsPage'),
})
const signedUpdates = createRoute({
  ...page('/signed-updates'),
  component: lazyRouteComponent(() => import('./pages/signed-updates/signed-updates.tsx'), 'SignedUpdatesPage'),
})
const externalRegistries = createRoute({
  ...page('/external-registries'),
  component: lazyRouteComponent(() => import('./pages/external-registries/list.tsx'), 'ExternalRegistriesPage'),
})
const account = createRoute({
  ...page('/account'),
  component: lazyRouteComponent(() => import('./pages/account/account.tsx'), 'AccountPage'),
})
const users = createRoute({
  ...page('/users'),
  component: lazyRouteComponent(() => import('./pages/users/users.tsx'), 'UsersPage'),
})
const audit = createRoute({
  ...page('/audit'),
  validateSearch: (search): { kind?: string; id?: string } => ({ ...text(search, 'kind'), ...text(search, 'id') }),
  component: lazyRouteComponent(() => import('./pages/audit/audit.tsx'), 'AuditPage'),
})

const tree = root.addChildren([
  signIn,
  setup,
  shell.addChildren([
    overview,
    clusters,
    cluster,
    services,
    newService,
    service,
    images,
    image,
    digest,
    devices,
    device,
    joinTokens,
    builds,
    newBuild,
    build,
    baseImages,
    buildWorkers,
    releases,
    newRelease,
    release,
    releaseRollouts,
    newReleaseRollout,
    releaseRollout,
    channels,
    signedUpdates,
    externalRegistries,
    account,
    users,
    audit,
  ]),
])

/** The addresses of the dashboard. A page is loaded when someone points at a link to it. */
export function createDashboardRouter() {
  return createRouter({ routeTree: tree, defaultPreload: 'intent', scrollRestoration: true })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createDashboardRouter>
  }
}

function text<Name extends string>(search: Record<string, unknown>, name: Name): { [K in Name]?: string } {
  const value = search[name]
  if (typeof value === 'string') return { [name]: value } as { [K in Name]: string }
  // The router reads digits as a number; an id or a token of digits alone is a text all the same.
  return typeof value === 'number' ? ({ [name]: String(value) } as { [K in Name]: string }) : {}
}
