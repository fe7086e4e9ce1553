import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds, type Role, sessionKind, tokenKind, userKind } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import type { Logger } from 'pino'
import { type Config, readConfig } from '../config/index.ts'
import { makeCredential } from '../identity/index.ts'
import { createLog } from '../log.ts'
import { createServer } from '../server.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
export const adminAccount = { username: 'admin', password: 'correct horse battery' }

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  body: any
}

/**
 * A whole control plane on a free port and a folder of its own, for tests. `seed` runs on its store beforehand;
 * `admin: false` leaves it without an administrator.
 */
export async function startTestServer(
  options: {
    seed?: (store: Store) => Promise<void>
    admin?: boolean
    environment?: Record<string, string>
    log?: Logger
  } = {},
) {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-server-'))
  const environment = {
    FREEHOLD_DATA_DIR: directory,
    SERVEZONE_PORT: '0',
    FREEHOLD_BIND: '127.0.0.1',
    FREEHOLD_LOCAL_CLUSTER: 'off',
    FREEHOLD_LOG_LEVEL: 'silent',
    ...(options.admin === false ? {} : { SERVEZONE_ADMINACCOUNT: `${adminAccount.username}:${adminAccount.password}` }),
    ...options.environment,
  }
  if (options.seed !== undefined) await seedStore(directory, options.seed)
  const server = await createServer(configOf(environment), {
    log: options.log ?? createLog('silent'),
    say: () => {},
    passOn: () => {},
  })
  return {
    server,
    directory,
    url: `http://127.0.0.1:${server.port}`,
    call: createCall(`http://127.0.0.1:${server.port}`),
    async close() {
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
export type TestServer = Awaited<ReturnType<typeof startTestServer>>

function configOf(environment: Record<string, string>): Config {
  const result = readConfig(environment)
  if ('faults' in result) throw new Error(result.faults.join('\n'))
  return result.config
}

async function seedStore(directory: string, seed: (store: Store) => Promise<void>): Promise<void> {
  const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  try {
    await seed(store)
  } finally {
    await store.close()
  }
}

/** Calls the API: `call('POST', '/api/v1/login', { body, token, headers })`. */
function createCall(url: string) {
  return async (
    method: string,
    path: string,
    options: { body?: unknown; token?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...options.headers,
      },
      ...(options.body === undefined
        ? {}
        : { body: typeof options.body === 'string' ? options.body : JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }
}

/** Makes a user of a role with a session, and returns the session's value. */
export async function seedSession(
  store: Store,
  role: Role,
  options: { name?: string; expiresAt?: string } = {},
): Promise<string> {
  const { value, hash } = makeCredential('fhs_')
  await store.transaction(actor, async (transaction) => {
    const user = await transaction.create(userKind, {
      data: {
        type: 'human',
        name: options.name ?? `${role}-${hash.slice(0, 6).replace(/[^A-Za-z0-9]/g, 'x')}`,
        role,
        disabled: false,
      },
    })
    const expiresAt = options.expiresAt ?? new Date(Date.now() + 7 * 86_400_000).toISOString()
    await transaction.create(sessionKind, { data: { userId: user.id, expiresAt, hash, client: 'test' } })
  })
  return value
}

/** Makes a token of a role, for a user of its own who may as much, and returns its value. */
export async function seedToken(
  store: Store,
  role: 'admin' | 'user' | 'api',
  options: { expiresAt?: string; userRole?: Role } = {},
): Promise<string> {
  const { value, hash, start } = makeCredential('fht_')
  await store.transaction(actor, async (transaction) => {
    const user = await transaction.create(userKind, {
      data: {
        type: 'human',
        name: `owner-${hash.replace(/[^A-Za-z0-9]/g, 'x').slice(0, 12)}`,
        role: options.userRole ?? role,
        disabled: false,
      },
    })
    const expiresAt = options.expiresAt ?? new Date(Date.now() + 86_400_000).toISOString()
    await transaction.create(tokenKind, {
      data: { name: `${role} token`, role, userId: user.id, expiresAt, prefix: start, hash },
    })
  })
  return value
}
