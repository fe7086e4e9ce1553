import { kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { Config } from './config/index.ts'

/** Opens the store the configuration names: PostgreSQL by its address, else SQLite in the data directory. */
export async function openStore(config: Pick<Config, 'storeUrl' | 'dataDirectory'>, log: Logger): Promise<Store> {
  const common = { kinds: Object.values(kinds), log: { warn: log.warn.bind(log) } }
  if (config.storeUrl === undefined) return openSqliteStore({ ...common, directory: config.dataDirectory })
  // Loaded only where it is used: it would cost every other start its time and memory.
  const { openPostgresStore } = await import('@freehold/store/postgres')
  return openPostgresStore({ ...common, url: config.storeUrl })
}
