/**
 * The control plane. This is what tools and tests may use of it: the parts that make generated files, and the server
 * as a whole.
 */
export { type Config, readConfig, settingsReference } from './config/index.ts'
export { serverVersion } from './http/pages.ts'
export { createLog } from './log.ts'
export { createServer, type RunningServer } from './server.ts'
