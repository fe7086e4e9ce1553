/**
 * The build worker (CoreBuild): makes images of devices for a control plane that dials it, one job a request, and sends each
 * image on while it is made. It keeps no records: those, join tokens and retries are the control plane's.
 */
export { readConfig, type WorkerConfig } from './config.ts'
export { CoreBuildServer } from './server.ts'
