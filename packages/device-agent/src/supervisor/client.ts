import type { DeviceStatus } from '@freehold/contracts'
import { type Answer, NoAnswerError, send } from '../http.ts'
import { fieldsOf, flagOf, listOf, numberOf, parseJson, textOf } from '../parse.ts'
import { createRedactor, type Redactor, type Secret } from '../secret.ts'

/** Why the Supervisor did not do what it was asked for. `message` is for people and holds no secret. */
export class SupervisorError extends Error {
  override readonly name = 'SupervisorError'
  readonly reason: 'unavailable' | 'unauthorized' | 'locked' | 'failed'

  constructor(reason: SupervisorError['reason'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.reason = reason
  }
}

export type SupervisorDevice = NonNullable<DeviceStatus['device']>
export type SupervisorApps = NonNullable<DeviceStatus['apps']>

interface Call {
  method: 'GET' | 'POST'
  path: string
  body?: object
  /** Instead of what holds for every call. */
  timeLimitMs?: number
  answerLimitBytes?: number
  signal?: AbortSignal | undefined
}

/** A local target state holds every variable of every service. */
const localTarget = { path: '/v2/local/target-state', timeLimitMs: 60_000, answerLimitBytes: 16 * 1024 * 1024 }

/**
 * The device API of the balena Supervisor (v19 as measured; https://docs.balena.io/reference/supervisor/supervisor-api/).
 *
 * The key travels in `Authorization: Bearer`. Only where a Supervisor refuses that, it is tried once as `?apikey=`, and
 * kept to if it works; neither form is ever part of a message.
 */
export class SupervisorClient {
  readonly #address: URL
  readonly #key: Secret | null
  readonly #timeLimitMs: number
  readonly #redactor: Redactor
  #keyIn: 'header' | 'query' = 'header'
  #queryWasRefused = false

  constructor(options: { address: URL; key: Secret | null; timeLimitMs?: number; redactor?: Redactor }) {
    this.#address = options.address
    this.#key = options.key
    this.#timeLimitMs = options.timeLimitMs ?? 10_000
    this.#redactor = options.redactor ?? createRedactor()
    this.#redactor.remember(options.key)
  }

  /** True where something answers `GET /ping` with OK; needs no key. */
  async ping(signal?: AbortSignal): Promise<boolean> {
    try {
      return (await this.#send({ method: 'GET', path: '/ping', signal }, undefined)).status === 200
    } catch (error) {
      if (error instanceof NoAnswerError) return false
      throw error
    }
  }

  /** `GET /v1/device`. `commit` is null while an update is under way or waits for a lock. */
  async device(signal?: AbortSignal): Promise<SupervisorDevice> {
    const told = fieldsOf(await this.#json({ method: 'GET', path: '/v1/device', signal }))
    return {
      osVersion: textOf(told.os_version, 200),
      supervisorVersion: textOf(told.supervisor_version, 64),
      macAddress: textOf(told.mac_address, 200),
      ipAddress: textOf(told.ip_address, 500),
      commit: textOf(told.commit, 128),
      status: textOf(told.status, 64),
      updatePending: flagOf(told.update_pending),
      updateDownloaded: flagOf(told.update_downloaded),
      updateFailed: flagOf(told.update_failed),
      downloadProgress: numberOf(told.download_progress),
    }
  }

  /** `GET /v2/state/status`; of more than 32 containers or images the first. */
  async apps(signal?: AbortSignal): Promise<SupervisorApps> {
    const told = fieldsOf(await this.#json({ method: 'GET', path: '/v2/state/status', signal }))
    return {
      state: textOf(told.appState, 32),
      release: textOf(told.release, 128),
      downloadProgress: numberOf(told.overallDownloadProgress),
      containers: listOf(told.containers, 32, (entry) => {
        const { serviceName, status, containerId, createdAt } = fieldsOf(entry)
        return {
          serviceName: textOf(serviceName, 255),
          status: textOf(status, 64),
          containerId: textOf(containerId, 80),
          createdAt: textOf(createdAt, 40),
        }
      }),
      images: listOf(told.images, 32, (entry) => {
        const { name, serviceName, status, downloadProgress } = fieldsOf(entry)
        return {
          name: textOf(name, 500),
          serviceName: textOf(serviceName, 255),
          status: textOf(status, 64),
          downloadProgress: numberOf(downloadProgress),
        }
      }),
    }
  }

  /** `GET /v2/version`; null where it tells none. */
  async version(signal?: AbortSignal): Promise<string | null> {
    return textOf(fieldsOf(await this.#json({ method: 'GET', path: '/v2/version', signal })).version, 64)
  }

  /**
   * `POST /v1/update`. `started` says only that a check began: also where it will fail or waits for a lock. `ignored`:
   * instant updates are off on this device and `force` was not given. Throws `locked` where it said so at once.
   */
  async requestUpdate(options: { force: boolean; signal?: AbortSignal }): Promise<'started' | 'ignored'> {
    const { force, signal } = options
    const answer = await this.#authorized({ method: 'POST', path: '/v1/update', body: { force }, signal })
    return answer.status === 202 ? 'ignored' : 'started'
  }

  /** `POST /v1/reboot`. Resolves when it begins; throws `locked` where an update lock or an update holds it up. */
  async reboot(options: { force: boolean; signal?: AbortSignal }): Promise<void> {
    await this.#authorized({
      method: 'POST',
      path: '/v1/reboot',
      body: { force: options.force },
      signal: options.signal,
    })
  }

  /**
   * Whether the device API is open to everyone on the device, which it is where no cloud owns what runs (unmanaged), or
   * a person switched local mode on: then, and only then, a local target state may be set.
   */
  async isOpen(signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#answer({ method: 'GET', path: '/v2/local/device-info', signal }, undefined)
    if (answer.status === 401) return false
    if (answer.status >= 200 && answer.status < 300) return true
    throw this.#errorOf({ method: 'GET', path: '/v2/local/device-info' }, answer)
  }

  /** `GET /v2/local/device-info`. */
  async deviceInfo(signal?: AbortSignal): Promise<{ architecture: string | null; deviceType: string | null }> {
    const told = fieldsOf(await this.#json({ method: 'GET', path: '/v2/local/device-info', signal }))
    const { arch, deviceType } = fieldsOf(told.info)
    return { architecture: textOf(arch, 64), deviceType: textOf(deviceType, 64) }
  }

  /** `GET /v2/local/target-state`: `{local: {name, config, apps}}`, services in the form that they have inside it. */
  async localTarget(signal?: AbortSignal): Promise<unknown> {
    return fieldsOf(await this.#json({ method: 'GET', ...localTarget, signal })).state
  }

  /**
   * `POST /v2/local/target-state`: replaces all of it, and begins to apply it. Resolves when it is stored; what comes of
   * it shows later. `force`: over update locks. Throws `failed` where it is refused, or the device is not in local mode.
   */
  async setLocalTarget(target: object, options: { force: boolean; signal?: AbortSignal | undefined }): Promise<void> {
    const { force, signal } = options
    await this.#authorized({ method: 'POST', ...localTarget, body: { ...target, force }, signal })
  }

  async #json(call: Call): Promise<unknown> {
    const answer = await this.#authorized(call)
    const value = parseJson(answer.body)
    if (value === undefined) throw new SupervisorError('failed', `The Supervisor answered ${call.path} without JSON.`)
    return value
  }

  async #authorized(call: Call): Promise<Answer> {
    let answer = await this.#answer(call, this.#keyIn)
    if (answer.status === 401 && this.#keyIn === 'header' && this.#key && !this.#queryWasRefused) {
      const second = await this.#answer(call, 'query')
      if (second.status === 401) this.#queryWasRefused = true
      else this.#keyIn = 'query'
      answer = second
    }
    if (answer.status >= 200 && answer.status < 300) return answer
    throw this.#errorOf(call, answer)
  }

  /** `keyIn` undefined: without the key. */
  async #answer(call: Call, keyIn: 'header' | 'query' | undefined): Promise<Answer> {
    try {
      return await this.#send(call, keyIn)
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error
      throw new SupervisorError('unavailable', `The Supervisor cannot be asked: ${error.message}`, { cause: error })
    }
  }

  #send(call: Call, keyIn: 'header' | 'query' | undefined): Promise<Answer> {
    const url = new URL(`${this.#address.pathname.replace(/\/+$/, '')}${call.path}`, this.#address)
    const key = this.#key?.reveal()
    if (key !== undefined && keyIn === 'query') url.searchParams.set('apikey', key)
    return send({
      url,
      method: call.method,
      headers: key !== undefined && keyIn === 'header' ? { authorization: `Bearer ${key}` } : {},
      ...(call.body ? { body: JSON.stringify(call.body) } : {}),
      timeLimitMs: call.timeLimitMs ?? this.#timeLimitMs,
      answerLimitBytes: call.answerLimitBytes ?? 1024 * 1024,
      signal: call.signal,
    })
  }

  #errorOf(call: Call, answer: Answer): SupervisorError {
    // Cleaned before it is cut: half a secret would not be known any more.
    const said = sentenceIn(this.#redactor.clean(answer.body))
    if (answer.status === 401) {
      const advice = this.#key
        ? 'It refuses the key: restart this service, so that it is given the present one.'
        : 'It wants a key: set BALENA_SUPERVISOR_API_KEY, or the label io.balena.features.supervisor-api.'
      return new SupervisorError('unauthorized', advice)
    }
    if (answer.status === 423) return new SupervisorError('locked', said || 'An update lock is held.')
    return new SupervisorError(
      'failed',
      `The Supervisor answered ${call.path} with ${answer.status}: ${said || 'nothing'}`,
    )
  }
}

/** `{Data, Error}` of the first API version, `{status, message}` of the second, or plain text. */
function sentenceIn(body: string): string {
  const told = parseJson(body)
  const { Error: first, message } = fieldsOf(told)
  return textOf(first, 500) ?? textOf(message, 500) ?? (told === undefined ? (textOf(body, 500) ?? '') : '')
}
