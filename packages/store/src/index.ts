/**
 * The resource store: versions, generations, unique keys, one log that is change feed and audit at once, facts.
 *
 * Two engines behind one interface, `openSqliteStore` and `openPostgresStore`. What they promise is built once
 * (transactions, group commit, hash chain, cursors); an engine supplies rows, a lock and a commit (`engine.ts`).
 * The store knows no kind by itself, checks no schema (the edge parses, the store trusts its types) and decides
 * nothing about who may do what.
 */
export type { CommonOptions, StoreLog } from './engine.ts'
export { openPostgresStore, type PostgresOptions } from './postgres/open.ts'
export { openSqliteStore, type SqliteOptions } from './sqlite/open.ts'
export type * from './store.ts'
