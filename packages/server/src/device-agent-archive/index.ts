/**
 * The device agent as one archive per architecture, made from this installation: what images bring along, and what a plain
 * Linux machine installs. Addressed by its hash, so that whoever was told the hash needs to trust nobody on the way.
 * It is no release: devices on hosts with containers get the agent as one.
 */
export { createDeviceAgentArchive, type DeviceAgentArchive } from './archive.ts'
