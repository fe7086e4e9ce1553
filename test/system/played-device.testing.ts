/** What is played around a device agent, for measures too: its Supervisor, and certificates that are good for nothing else. */
export { authority, trusted } from '../../packages/device-agent/src/certificates.testing.ts'
export { startFakeSupervisor } from '../../packages/device-agent/src/supervisor/supervisor.testing.ts'
