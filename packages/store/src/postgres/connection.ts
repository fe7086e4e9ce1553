import pg from 'pg'

const bigintOid = 20

/** Connection settings every connection shares. Versions are BIGINT and stay below 2^53, so they become numbers. */
export function connectionConfig(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'freehold',
    keepAlive: true,
    connectionTimeoutMillis: 5000,
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === bigintOid ? Number : pg.types.getTypeParser(oid, format)) as pg.CustomTypesConfig['getTypeParser'],
    },
  }
}

/** What runs one statement; a client, or a pool. */
export interface Runner {
  query(config: { name?: string; text: string; values?: unknown[] }): Promise<{ rows: unknown[] }>
}

/** Names statements by their text, so that the server plans each once; the number of different texts is small. */
export function createStatementNames(): (text: string) => string {
  const names = new Map<string, string>()
  return (text) => {
    const name = names.get(text) ?? `freehold-${names.size + 1}`
    names.set(text, name)
    return name
  }
}
