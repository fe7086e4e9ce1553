/**
 * The lab: real parts for system tests on one Linux machine as root. Everything runs in namespaces that
 * `npm run test:system` makes, so nothing outlives a run. No fakes here, and no assertions: those belong to the stories.
 */
export * from './boot-files.ts'
export * from './browser.ts'
export * from './cloud.ts'
export * from './device.ts'
export * from './docker-registry.ts'
export * from './dockerd.ts'
export * from './freehold.ts'
export * from './guest.ts'
export * from './image.ts'
export * from './machine.ts'
export * from './object-store.ts'
export * from './parts.ts'
export * from './process.ts'
export * from './push.ts'
export * from './swarm.ts'
export * from './tar.ts'
export * from './wait.ts'
