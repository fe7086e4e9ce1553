/**
 * A small client for registries elsewhere: sign in, read manifests and blobs. It pushes nothing, and it trusts nothing
 * it is told: see `addresses.ts` for where it lets itself be sent.
 */
export { createRegistryClient, type RegistryClient, type UpstreamManifest } from './client.ts'
export { UpstreamError } from './errors.ts'
export { createHttp, type HttpLimits, readBounded } from './http.ts'
export type { Credentials } from './sign-in.ts'
