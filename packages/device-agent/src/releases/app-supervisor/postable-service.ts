import { type Fields, fieldsOf, isFields } from '../../parse.ts'

/**
 * A service as the Supervisor tells it (its own understanding: paths and names with the application's number before
 * them, durations in nanoseconds, what labels and the device added) back into the form of a compose file that it takes.
 * A setting that is not known here and is not empty is refused, never dropped.
 */
export function postableService(
  service: Fields,
  options: { appId: string; uuid: string; refuse: (what: string) => never },
): Fields {
  const { appId, uuid, refuse } = options
  const config = fieldsOf(service.config)
  const labels = fieldsOf(config.labels)
  const unknown = Object.keys(config).find((name) => !known.has(name) && !isEmpty(config[name]))
  if (unknown !== undefined) refuse(`the setting "${unknown}"`)
  if (!isEmpty(config.deviceRequests) && !isOn(labels, 'gpu')) refuse('the setting "deviceRequests"')
  const plain = Object.entries(sameInBoth).flatMap(([from, to]) => (config[from] == null ? [] : [[to, config[from]]]))
  return {
    serviceName: service.serviceName,
    serviceId: service.serviceId,
    imageId: service.imageId,
    image: service.imageName ?? config.image,
    running: config.running ?? true,
    ...Object.fromEntries(plain),
    environment: without(fieldsOf(config.environment), (name) => addedVariables.has(name)),
    labels: without(labels, (name) => addedLabels.has(name)),
    volumes: volumesOf(config.volumes, { appId, labels }),
    ports: listOfFields(config.portMaps).map(portOf),
    devices: listOfFields(config.devices).map(
      ({ PathOnHost, PathInContainer, CgroupPermissions }) => `${PathOnHost}:${PathInContainer}:${CgroupPermissions}`,
    ),
    ...networksOf(config, uuid),
    ...memoryOf(config),
    ...(typeof config.stopGracePeriod === 'number' ? { stop_grace_period: `${config.stopGracePeriod}s` } : {}),
    ...(typeof config.cpus === 'number' && config.cpus > 0 ? { cpus: config.cpus / 1e9 } : {}),
    ...(isFields(config.healthcheck) ? { healthcheck: healthcheckOf(config.healthcheck) } : {}),
    ...(isEmpty(service.dependsOn) ? {} : { depends_on: service.dependsOn }),
  }
}

/** The same value in both forms, under the compose file's name. */
const sameInBoth: Record<string, string> = {
  capAdd: 'cap_add',
  capDrop: 'cap_drop',
  cgroupParent: 'cgroup_parent',
  command: 'command',
  cpuQuota: 'cpu_quota',
  cpuShares: 'cpu_shares',
  cpuset: 'cpuset',
  dns: 'dns',
  dnsOpt: 'dns_opt',
  dnsSearch: 'dns_search',
  domainname: 'domainname',
  entrypoint: 'entrypoint',
  extraHosts: 'extra_hosts',
  groupAdd: 'group_add',
  hostname: 'hostname',
  init: 'init',
  ipc: 'ipc',
  macAddress: 'mac_address',
  oomKillDisable: 'oom_kill_disable',
  oomScoreAdj: 'oom_score_adj',
  pid: 'pid',
  pidsLimit: 'pids_limit',
  privileged: 'privileged',
  readOnly: 'read_only',
  restart: 'restart',
  securityOpt: 'security_opt',
  stopSignal: 'stop_signal',
  sysctls: 'sysctls',
  tmpfs: 'tmpfs',
  tty: 'tty',
  ulimits: 'ulimits',
  user: 'user',
  usernsMode: 'userns_mode',
  workingDir: 'working_dir',
}

const known = new Set([
  ...Object.keys(sameInBoth),
  ...['image', 'running', 'environment', 'labels', 'volumes', 'portMaps', 'devices', 'deviceRequests', 'networks'],
  ...['networkMode', 'memLimit', 'memReservation', 'shmSize', 'stopGracePeriod', 'cpus', 'healthcheck'],
])

/** What the Supervisor gives to every container, and by labels: it does so again, with the values of then. */
const addedVariables = new Set([
  'BALENA',
  'RESIN',
  'RESIN_SERVICE_KILL_ME_PATH',
  'BALENA_SERVICE_HANDOVER_COMPLETE_PATH',
  ...['BALENA', 'RESIN'].flatMap((space) =>
    [
      ...['APP_ID', 'APP_UUID', 'APP_NAME', 'SERVICE_NAME', 'DEVICE_UUID', 'DEVICE_TYPE', 'DEVICE_ARCH'],
      ...['HOST_OS_VERSION', 'APP_LOCK_PATH', 'DEVICE_NAME_AT_INIT', 'API_KEY', 'API_URL', 'SUPERVISOR_API_KEY'],
      ...['SUPERVISOR_PORT', 'SUPERVISOR_HOST', 'SUPERVISOR_ADDRESS', 'HOST_OS_BOARD_REV', 'HOST_OS_BUILD'],
    ].map((name) => `${space}_${name}`),
  ),
])

const addedLabels = new Set([
  'io.balena.supervised',
  'io.balena.app-id',
  'io.balena.app-uuid',
  'io.balena.service-id',
  'io.balena.service-name',
])

/** The network that the label `supervisor-api` adds. */
const supervisorNetwork = 'supervisor0'

/** Folders of the host come from labels and the Supervisor alone: it takes none from a compose file. */
function volumesOf(told: unknown, { appId, labels }: { appId: string; labels: Fields }): unknown[] {
  const prefix = `${appId}_`
  const withoutPrefix = (source: string) => (source.startsWith(prefix) ? source.slice(prefix.length) : source)
  return (Array.isArray(told) ? told : []).flatMap((volume: unknown) => {
    if (typeof volume === 'string') {
      if (!volume.includes(':')) return [volume]
      return volume.startsWith('/') ? [] : [withoutPrefix(volume)]
    }
    const { source, type } = fieldsOf(volume)
    if (typeof source !== 'string') return [volume]
    if (type === 'bind' || source.startsWith('/')) return []
    if (source === 'extra-firmware' && isOn(labels, 'extra-firmware')) return []
    return [{ ...fieldsOf(volume), source: withoutPrefix(source) }]
  })
}

/** The Supervisor takes the first network for the container's own where no mode is given. */
function networksOf(config: Fields, uuid: string): Fields {
  const mode = typeof config.networkMode === 'string' ? config.networkMode : 'default'
  const prefix = `${uuid}_`
  const own = mode.startsWith(prefix)
  const all = Object.entries(fieldsOf(config.networks)).filter(([name]) => name !== supervisorNetwork)
  const ordered = [...all.filter(([name]) => name === mode), ...all.filter(([name]) => name !== mode)]
  const networks = ordered.map(([name, settings]) => [
    name.startsWith(prefix) ? name.slice(prefix.length) : name,
    settings,
  ])
  return {
    ...(networks.length === 0 ? {} : { networks: Object.fromEntries(networks) }),
    ...(own && networks.length > 0 ? {} : { network_mode: own ? mode.slice(prefix.length) : mode }),
  }
}

function portOf(map: Fields): string {
  const { internalStart, internalEnd, externalStart, externalEnd, host, protocol } = fieldsOf(map.ports ?? map)
  const range = (first: unknown, last: unknown) => (first === last ? `${first}` : `${first}-${last}`)
  const address = typeof host === 'string' && host !== '' ? `${host}:` : ''
  return `${address}${range(externalStart, externalEnd)}:${range(internalStart, internalEnd)}/${protocol ?? 'tcp'}`
}

function memoryOf(config: Fields): Fields {
  const names = { memLimit: 'mem_limit', memReservation: 'mem_reservation', shmSize: 'shm_size' }
  const set = Object.entries(names).filter(([from]) => typeof config[from] === 'number')
  return Object.fromEntries(set.map(([from, to]) => [to, String(config[from])]))
}

function healthcheckOf(told: Fields): Fields {
  const { test, retries } = told
  if (Array.isArray(test) && test[0] === 'NONE') return { disable: true }
  const times = ['interval', 'timeout', 'startPeriod'].filter((name) => typeof told[name] === 'number')
  return {
    test,
    ...Object.fromEntries(times.map((name) => [name, `${Number(told[name]) / 1e6}ms`])),
    ...(retries === undefined ? {} : { retries }),
  }
}

function isOn(labels: Fields, feature: string): boolean {
  const value = labels[`io.balena.features.${feature}`]
  return value !== undefined && !['0', 'false', 'off', ''].includes(String(value).toLowerCase())
}

function without(fields: Fields, drops: (name: string) => boolean): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !drops(name)))
}

function listOfFields(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : []
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false || value === 0) return true
  if (Array.isArray(value)) return value.length === 0
  return isFields(value) && Object.keys(value).length === 0
}
