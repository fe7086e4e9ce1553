import { kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { Config } from './config/index.ts'

/** Opens the store the configuration names: PostgreSQL by its address, else SQLite in the data directory. */
export async function openStore(config: Pick<Config, 'storeUrl' | 'dataDirectory'>, log: Logger): Promise<Store> {
  const common = {
    kinds: Object.values(kinds),
    log: { warn: (fields: object, text: string) => log.warn(fields, text) },
  }
  if (config.storeUrl !== undefined) throw new Error('FREEHOLD_STORE_URL: not there yet.')
  return openSqliteStore({ ...common, directory: config.dataDirectory })
}
