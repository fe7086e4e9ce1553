/**
 * What a process of little memory may load: the error table, the bounds of the device protocol, canonical JSON, secrets.
 * No schema library comes with it; types of everything else cost nothing and come from the package itself by
 * `import type`.
 */
export * from './canonical-json.ts'
export * from './device-limits.ts'
export * from './errors.ts'
export * from './secret.ts'
