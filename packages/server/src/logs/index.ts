/**
 * Log lines of services, asked live of the cluster's agent and passed on as they come. Nothing is kept here: what the
 * engines still have is what there is.
 */
export { createLogHandlers } from './routes.ts'
