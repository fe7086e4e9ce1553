/**
 * The control plane. This is what tools and tests may use of it: the parts that make generated files, and the server
 * as a whole; and, for the simulator, the parts that meet agents.
 */
export { type AgentHub, createAgentHub, type LinkTransport } from './agents/index.ts'
export { createAgentHandlers, createEnrolmentHandlers, createPullCredentials } from './clusters/index.ts'
export { type Config, readConfig, settingsReference } from './config/index.ts'
export { serverVersion } from './http/pages.ts'
export { createLog } from './log.ts'
export { createReconcilers, type Reconcilers } from './reconcilers/index.ts'
export { createServer, type RunningServer } from './server.ts'
export { createService, type ServiceRules } from './services/index.ts'
