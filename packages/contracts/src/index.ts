/**
 * What crosses a process boundary: resource kinds, routes with their access rules, the agent protocol and the
 * error table. Schemas and data only; no I/O, and nothing of ours is imported.
 */
export * from './access.ts'
export * from './errors.ts'
export * from './resource.ts'
export * from './route.ts'
