/** How a host does, as a program or a function of its own tells. */
export interface HostHealth {
  isHealthy: boolean
  message: string
  /** Last lines, at most 8,000 characters. */
  log: string
}
