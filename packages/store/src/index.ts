/**
 * The resource store: versions, generations, unique keys, one log that is change feed and audit at once, facts.
 *
 * Two engines behind one interface, `openSqliteStore` here and `openPostgresStore` in `@freehold/store/postgres`, which
 * is apart so that only who uses it loads its driver. What they promise is built once
 * (transactions, group commit, hash chain, cursors); an engine supplies rows, a lock and a commit (`engine.ts`).
 * The store knows no kind by itself, checks no schema (the edge parses, the store trusts its types) and decides
 * nothing about who may do what.
 */
export type { CommonOptions, StoreLog } from './engine.ts'
export { pagesOf } from './pages.ts'
export { openSqliteStore, type SqliteOptions } from './sqlite/open.ts'
export type * from './store.ts'
