/**
 * What crosses a process boundary: resource kinds, routes with their access rules, the agent protocol and the
 * error table. Schemas and data only; no I/O, and nothing of ours is imported.
 */
export * from './access.ts'
export * from './agents.ts'
export * from './clusters.ts'
export * from './digest.ts'
export * from './errors.ts'
export * from './external-registries.ts'
export * from './identity.ts'
export * from './images.ts'
export * from './installation.ts'
export * from './plan.ts'
export * from './registry.ts'
export * from './resource.ts'
export * from './retention.ts'
export * from './rollouts.ts'
export * from './route.ts'
export * from './routes.ts'
export * from './scrub.ts'
export * from './services.ts'
export * from './status.ts'
export * from './types.ts'
