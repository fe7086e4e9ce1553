import { type Fields, fieldsOf, isFields } from '../../parse.ts'
import { ourAppId, ourAppName } from './names.ts'
import { postableService } from './postable-service.ts'

/**
 * The Supervisor's local target state (https://docs.balena.io/reference/supervisor/supervisor-api/, "Local mode
 * endpoints"). What is set replaces everything, so what is not ours must be handed back; and what the Supervisor tells
 * has another form than what it takes: it tells services as it understood them, with what it added.
 */
export interface LocalTarget {
  name: string
  config: Fields
  /** By the application's number. */
  apps: Record<string, LocalApp>
}

/** As it is set. */
export interface LocalApp {
  name: string
  commit?: string
  releaseId?: number
  /** By the service's number. */
  services: Record<string, Fields>
  volumes: Fields
  networks: Fields
}

/** What runs on the device cannot be handed back as it is; the message says what, for people. */
export class NotPostable extends Error {
  override readonly name = 'NotPostable'
}

/** Our application as the Supervisor tells it; undefined: it has none. */
export function ourAppIn(told: unknown): Fields | undefined {
  const app = appsIn(told)[String(ourAppId)]
  return isFields(app) ? app : undefined
}

/** The commit of our application in what the Supervisor tells; null: it has none of ours. */
export function ourCommitIn(told: unknown): string | null {
  const commit = ourAppIn(told)?.commit
  return typeof commit === 'string' ? commit : null
}

/** Our application as it can be set again; null: there is none. Throws `NotPostable`. */
export function ourPostableApp(told: unknown): LocalApp | null {
  const app = ourAppIn(told)
  return app === undefined ? null : postableApp(String(ourAppId), app)
}

/**
 * What to set so that `ours` is our application and everything else stays as the Supervisor tells it; null: ours goes.
 * Applications that another source owns are not in it: setting local ones leaves those alone. Throws `NotPostable`.
 */
export function targetWith(told: unknown, ours: LocalApp | null): { local: LocalTarget } {
  const { name, config } = fieldsOf(fieldsOf(told).local)
  if (ours !== null) refuseForeign(told)
  const others = Object.entries(appsIn(told)).filter(([id, app]) => id !== String(ourAppId) && isLocal(app))
  const apps = Object.fromEntries(others.map(([id, app]) => [id, postableApp(id, fieldsOf(app))]))
  if (ours !== null) apps[String(ourAppId)] = ours
  return {
    local: {
      name: typeof name === 'string' ? name : 'local',
      // A host that left its cloud tells that local mode is off, and would leave it if told so itself.
      config: { ...fieldsOf(config), SUPERVISOR_LOCAL_MODE: '1' },
      apps,
    },
  }
}

/** The names of the local images that our application in `app` needs. */
export function imagesNeededBy(app: LocalApp | null): string[] {
  const services = Object.values(app?.services ?? {})
  return services.flatMap(({ image }) => (typeof image === 'string' ? [image] : []))
}

function refuseForeign(told: unknown): void {
  const app = ourAppIn(told)
  if (app === undefined) return
  const name = app.appName ?? app.name
  if (name === ourAppName) return
  throw new NotPostable(`Application ${ourAppId} of this device is not one of Freehold's; remove it, or rename it.`)
}

function appsIn(told: unknown): Fields {
  return fieldsOf(fieldsOf(fieldsOf(told).local).apps)
}

function isLocal(app: unknown): boolean {
  const { source } = fieldsOf(app)
  return source === undefined || source === 'local'
}

function postableApp(id: string, app: Fields): LocalApp {
  const name = typeof app.appName === 'string' ? app.appName : String(app.name ?? id)
  const commit = typeof app.commit === 'string' ? app.commit : undefined
  const list = Array.isArray(app.services) ? app.services.map(fieldsOf) : undefined
  const uuid = typeof app.appUuid === 'string' ? app.appUuid : id
  const services = list
    ? Object.fromEntries(
        list.map((service) => [
          String(service.serviceId),
          postableService(service, { appId: id, uuid, refuse: (what) => refuse(name, service, what) }),
        ]),
      )
    : (fieldsOf(app.services) as Record<string, Fields>)
  const releaseId = Number(app.releaseId ?? list?.[0]?.releaseId ?? 1)
  return {
    name,
    ...(commit === undefined ? {} : { commit, releaseId: Number.isInteger(releaseId) ? releaseId : 1 }),
    services,
    volumes: byName(app.volumes, ({ driver, driverOpts, labels }) => ({ driver, driver_opts: driverOpts, labels })),
    networks: byName(app.networks, postableNetwork),
  }
}

function refuse(app: string, service: Fields, what: string): never {
  throw new NotPostable(
    `Service ${String(service.serviceName)} of the application ${app} has ${what}, which cannot be handed back to the Supervisor unchanged; nothing is changed on this device.`,
  )
}

/** Told as a list of `{name, config}`, set as an object. */
function byName(told: unknown, convert: (config: Fields) => Fields): Fields {
  if (!Array.isArray(told)) return fieldsOf(told)
  return Object.fromEntries(told.map(fieldsOf).map(({ name, config }) => [String(name), convert(fieldsOf(config))]))
}

function postableNetwork(config: Fields): Fields {
  const ipam = fieldsOf(config.ipam)
  const ranges = Array.isArray(ipam.config) ? ipam.config.map(fieldsOf) : []
  return {
    driver: config.driver,
    driver_opts: config.options,
    enable_ipv6: config.enableIPv6,
    internal: config.internal,
    labels: config.labels,
    ...(config.configOnly === undefined ? {} : { config_only: config.configOnly }),
    ipam: {
      driver: ipam.driver,
      options: ipam.options,
      config: ranges.map(({ ipRange, auxAddress, ...range }) => ({
        ...range,
        ...(ipRange === undefined ? {} : { ip_range: ipRange }),
        ...(auxAddress === undefined ? {} : { aux_addresses: auxAddress }),
      })),
    },
  }
}
