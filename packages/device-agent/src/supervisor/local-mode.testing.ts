import { request } from 'node:http'

type Fields = Record<string, unknown>

/**
 * Local mode of the fake Supervisor, as its documentation and source say (v19): what is set is kept in its own form and
 * told in that; what runs is changed through the engine at the given socket, one step with each look at `/v1/device`.
 * Containers are named `service_image_release_commit`; one whose settings did not change is renamed. Images are taken
 * for the same where repository and tag are, whatever their digests: that is how the Supervisor errs.
 */
export interface PlayedLocalMode {
  isOn: boolean
  /** Null: taken. Else why not. */
  set(body: Fields): string | null
  told(): Fields
  advance(): Promise<void>
  /** What it adds to `/v1/device` and `/v2/state/status`. */
  device(): Fields
  status(): Promise<Fields>
}

interface Service {
  name: string
  id: number
  imageId: number
  image: string
  config: Fields
}

interface App {
  id: string
  name: string
  commit: string
  releaseId: number
  services: Service[]
  volumes: Fields
  networks: Fields
}

/** `lockRoot`: the folder of the host that holds each service's lock folder. */
export function playLocalMode(options: { socketPath: string; apps?: Fields; lockRoot?: string }): PlayedLocalMode {
  const { lockRoot = '/tmp/balena-supervisor/services' } = options
  const ask = engineAt(options.socketPath)
  let name = 'device'
  let config: Fields = { SUPERVISOR_LOCAL_MODE: 'false', SUPERVISOR_DELTA: 'false' }
  let apps: App[] = []
  let phase: 'applied' | 'applying' | 'locked' | 'failed' = 'applied'
  let isForced = false

  const containers = async (): Promise<Container[]> => {
    const filters = encodeURIComponent(JSON.stringify({ label: ['io.balena.supervised'] }))
    const { body } = await ask('GET', `/containers/json?all=true&filters=${filters}`)
    return (body as Fields[]).map((told) => {
      const labels = told.Labels as Record<string, string>
      return {
        id: String(told.Id),
        name: String((told.Names as string[])[0]).slice(1),
        state: String(told.State),
        labels,
      }
    })
  }
  const nameOf = (app: App, service: Service) => `${service.name}_${service.imageId}_${app.releaseId}_${app.commit}`
  const isLocked = async (id: string) => {
    const { status } = await ask('HEAD', `/containers/${id}/archive?path=/tmp/balena/updates.lock`)
    return status === 200
  }
  const run = async (app: App, service: Service) => {
    const { Cmd, ...settings } = engineSettings(app, service)
    const body = { Image: service.image, ...settings, Tty: true, ...(Cmd ? { Cmd } : {}) }
    const made = await ask('POST', `/containers/create?name=${nameOf(app, service)}`, body)
    if (made.status !== 201) throw new Error(JSON.stringify(made.body))
    await ask('POST', `/containers/${(made.body as Fields).Id}/start`)
  }
  /** One step; false: there is nothing left to do. */
  const step = async (): Promise<boolean> => {
    const present = await containers()
    const wanted = apps.flatMap((app) => app.services.map((service) => ({ app, service })))
    const isWanted = (container: Container) =>
      wanted.some(({ app, service }) => container.labels['played.settings'] === settingsOf(app, service))
    const unwanted = present.filter((container) => !isWanted(container))
    for (const { app, service } of wanted) {
      const { status } = await ask('GET', `/images/${service.image}/json`)
      if (status !== 200) throw new Error(`${service.image} of ${app.name} is not here and cannot be downloaded`)
    }
    if (unwanted.length > 0) {
      const apps = new Set(unwanted.map(({ labels }) => labels['io.balena.app-id']))
      const touched = present.filter(({ labels }) => apps.has(labels['io.balena.app-id']))
      const locks = await Promise.all(touched.map(({ id }) => isLocked(id)))
      if (!isForced && locks.includes(true)) {
        phase = 'locked'
        return true
      }
      for (const { id } of unwanted) await ask('DELETE', `/containers/${id}?force=true`)
      return true
    }
    for (const { app, service } of wanted) {
      const found = present.find(({ labels }) => labels['played.settings'] === settingsOf(app, service))
      if (!found) await run(app, service)
      else if (found.name !== nameOf(app, service)) {
        await ask('POST', `/containers/${found.id}/rename?name=${nameOf(app, service)}`)
      } else continue
      return true
    }
    return false
  }
  const played: PlayedLocalMode = {
    isOn: true,
    set: (body) => {
      const local = body.local as { name: string; config: Fields; apps: Record<string, Fields> }
      const wrong = Object.values(local.apps).find((app) => typeof app.name !== 'string')
      if (wrong) return 'Invalid target state.\nExpected a name for an app.'
      ;({ name, config } = local)
      apps = Object.entries(local.apps).map(([id, app]) => understood(id, app, lockRoot))
      // It takes the word for itself: without it, it leaves local mode.
      played.isOn = ['1', 'true', 'on'].includes(String(config.SUPERVISOR_LOCAL_MODE))
      isForced = body.force === true
      phase = 'applying'
      return null
    },
    told: () => ({ local: { name, config, apps: Object.fromEntries(apps.map((app) => [app.id, toldApp(app)])) } }),
    advance: async () => {
      if (phase === 'applied') return
      phase = 'applying'
      const goesOn = await step().catch(() => {
        phase = 'failed'
        return true
      })
      if (!goesOn) phase = 'applied'
    },
    device: () => ({
      update_pending: phase !== 'applied',
      update_downloaded: phase === 'locked' || phase === 'applying',
      update_failed: phase === 'locked' || phase === 'failed',
    }),
    status: async () => ({
      appState: phase === 'applied' ? 'applied' : 'applying',
      containers: (await containers()).map(({ id, state, labels }) => ({
        status: state === 'running' ? 'Running' : state,
        serviceName: labels['io.balena.service-name'],
        appId: Number(labels['io.balena.app-id']),
        containerId: id,
        createdAt: '2026',
      })),
    }),
  }
  if (options.apps)
    played.set({ local: { name, config: { ...config, SUPERVISOR_LOCAL_MODE: '1' }, apps: options.apps } })
  config = { ...config, SUPERVISOR_LOCAL_MODE: 'false' }
  return played
}

interface Container {
  id: string
  name: string
  state: string
  labels: Record<string, string>
}

/** What decides whether a container is the one that is wanted: all but the image's digest, the release and its commit. */
function settingsOf(app: App, service: Service): string {
  return JSON.stringify([app.id, service.name, service.image.split('@')[0], service.config])
}

function understood(id: string, app: Fields, lockRoot: string): App {
  const services = Object.entries((app.services ?? {}) as Record<string, Fields>).map(([serviceId, set]) => {
    const { serviceName, serviceId: _id, imageId, image, environment, labels, running, ...composition } = set
    const networks = (composition.networks ?? {}) as Record<string, Fields>
    const mode = (composition.network_mode as string | undefined) ?? `${id}_${Object.keys(networks)[0] ?? 'default'}`
    const isOwn = !['host', 'bridge', 'none'].includes(mode)
    const own = isOwn && !mode.startsWith(`${id}_`) ? `${id}_${mode}` : mode
    const prefixed = Object.entries(networks).map(([name, value]) => [`${id}_${name}`, aliased(value, serviceName)])
    const hasSocket = (labels as Fields)['io.balena.features.balena-socket'] === '1'
    return {
      name: String(serviceName),
      id: Number(serviceId),
      imageId: Number(imageId),
      image: String(image),
      config: {
        image: 'sha256:understood',
        running: running ?? true,
        environment: { ...(environment as Fields), BALENA: '1', BALENA_APP_ID: id, RESIN_APP_ID: id },
        labels: { ...(labels as Fields), ...ownLabels(id, serviceId, serviceName) },
        command: composition.command ?? [],
        restart: composition.restart ?? 'always',
        privileged: composition.privileged ?? false,
        tty: composition.tty ?? true,
        hostname: composition.hostname ?? '',
        memLimit: Number(composition.mem_limit ?? 0),
        shmSize: Number(composition.shm_size ?? 67_108_864),
        stopGracePeriod: Number.parseInt(String(composition.stop_grace_period ?? '10s'), 10),
        healthcheck: healthcheckOf(composition.healthcheck as Fields | undefined),
        networkMode: own,
        networks: isOwn ? { [own]: aliased({}, serviceName), ...Object.fromEntries(prefixed) } : {},
        portMaps: ((composition.ports ?? []) as string[]).map(portMap),
        volumes: [
          ...((composition.volumes ?? []) as string[]).map((volume) => `${id}_${volume}`),
          ...['resin', 'balena'].map((it) => `${lockRoot}/${id}/${serviceName}:/tmp/${it}`),
          ...(hasSocket ? [{ type: 'bind', source: '/run/balena-engine.sock', target: '/host/run/engine.sock' }] : []),
        ],
        devices: [],
        deviceRequests: [],
        capAdd: composition.cap_add ?? [],
      },
    }
  })
  const [appName, commit, releaseId] = [String(app.name), String(app.commit), Number(app.releaseId)]
  const [volumes, networks] = [(app.volumes ?? {}) as Fields, (app.networks ?? {}) as Fields]
  return { id, name: appName, commit, releaseId, services, volumes, networks }
}

/** As `GET` tells it: services, volumes and networks as lists of what it keeps inside. */
function toldApp(app: App): Fields {
  return {
    appId: Number(app.id),
    appUuid: app.id,
    appName: app.name,
    commit: app.commit,
    source: 'local',
    isHost: false,
    services: app.services.map((service) => ({
      appId: Number(app.id),
      appUuid: app.id,
      imageId: service.imageId,
      serviceName: service.name,
      commit: app.commit,
      releaseId: app.releaseId,
      serviceId: service.id,
      imageName: service.image,
      dependsOn: null,
      config: service.config,
    })),
    volumes: Object.entries(app.volumes).map(([name, set]) => {
      const { driver, driver_opts, labels } = set as Fields
      return { name, appId: app.id, config: { driver: driver ?? 'local', driverOpts: driver_opts ?? {}, labels } }
    }),
    networks: Object.entries(app.networks).map(([name, set]) => {
      const { driver_opts, enable_ipv6, config_only, ...same } = set as Fields
      const config = { ...same, options: driver_opts ?? {}, enableIPv6: enable_ipv6, configOnly: config_only }
      return { name, appId: app.id, config }
    }),
  }
}

function engineSettings(app: App, service: Service) {
  const { labels, environment, command, restart, networkMode, portMaps, volumes } = service.config as {
    labels: Fields
    environment: Fields
    command: string[]
    restart: string
    networkMode: string
    portMaps: { ports: Record<string, unknown> }[]
    volumes: unknown[]
  }
  const bindings = portMaps.map(({ ports }) => [
    `${ports.internalStart}/${ports.protocol}`,
    [{ HostPort: String(ports.externalStart) }],
  ])
  return {
    Labels: { ...labels, 'played.settings': settingsOf(app, service) },
    Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    Cmd: command.length > 0 ? command : undefined,
    ExposedPorts: Object.fromEntries(bindings.map(([port]) => [port, {}])),
    HostConfig: {
      RestartPolicy: { Name: restart },
      NetworkMode: networkMode === 'host' ? 'host' : 'bridge',
      PortBindings: networkMode === 'host' ? {} : Object.fromEntries(bindings),
      Binds: volumes.filter((volume) => typeof volume === 'string'),
    },
  }
}

function ownLabels(appId: string, serviceId: string, serviceName: unknown): Fields {
  return {
    'io.balena.supervised': 'true',
    'io.balena.app-id': appId,
    'io.balena.app-uuid': appId,
    'io.balena.service-id': serviceId,
    'io.balena.service-name': serviceName,
  }
}

function aliased(settings: Fields, serviceName: unknown): Fields {
  const aliases = (settings.aliases ?? []) as unknown[]
  return { ...settings, aliases: aliases.includes(serviceName) ? aliases : [...aliases, serviceName] }
}

function healthcheckOf(set: Fields | undefined): Fields {
  if (!set || set.disable === true) return { test: ['NONE'] }
  const nanoseconds = Object.entries(set).map(([name, value]) => [
    name,
    typeof value === 'string' ? Number.parseFloat(value) * 1e6 : value,
  ])
  return Object.fromEntries(nanoseconds)
}

function portMap(text: string): Fields {
  const [, external, internal, protocol] = /^(\d+):(\d+)(?:\/(\w+))?$/.exec(text) ?? []
  const [outside, inside] = [Number(external), Number(internal)]
  const range = { internalStart: inside, internalEnd: inside, externalStart: outside, externalEnd: outside }
  return { ports: { ...range, protocol: protocol ?? 'tcp', host: '' } }
}

/** One call of the engine; the body as JSON where it is that. */
function engineAt(socketPath: string) {
  return (method: string, path: string, body?: Fields): Promise<{ status: number; body: unknown }> =>
    new Promise((resolve, reject) => {
      const headers = { host: 'engine', connection: 'close', 'content-type': 'application/json' }
      const outgoing = request({ socketPath, method, path, headers, agent: false }, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.once('error', reject)
        incoming.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          const isJson = incoming.headers['content-type']?.includes('json') === true && text !== ''
          resolve({ status: incoming.statusCode ?? 0, body: isJson ? JSON.parse(text) : text })
        })
      })
      outgoing.once('error', reject)
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
}
