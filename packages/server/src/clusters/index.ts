/**
 * Clusters, their nodes, and how a machine becomes one: a JUMPCODE is exchanged once for the registration of a key the
 * agent made itself. Also the credentials with which a cluster's engines pull from our registry.
 *
 * Not here: the link agents keep (`agents`), what runs in a cluster (`services`).
 */
export { createEnrolmentHandlers, makeEnrolment } from './enrol.ts'
export { createPullCredentials, type PullCredentials } from './pull.ts'
export { createAgentHandlers, createClusterHandlers, createNodeHandlers } from './routes.ts'
export { createCluster, pruneEnrolments, revokeNode, updateCluster } from './service.ts'
