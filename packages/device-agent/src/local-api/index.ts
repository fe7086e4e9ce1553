/**
 * The local API: what a product on the same device (document it by its environment: `SERVEZONE_RUNTIME=baseos`,
 * `BASEOS_AGENT_URL`) may ask of the agent. On a Unix socket or a loopback address, every request with the API's own
 * token, JSON both ways, everything bounded. It can update and lock; it shows no token and runs nothing.
 */
export { startLocalApi } from './server.ts'
