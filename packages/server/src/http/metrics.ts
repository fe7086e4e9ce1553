import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** Prometheus metrics of this process; each server has its own registry. */
export function createMetrics(options: {
  registryStorage: () => { heldBytes: number | null; freedBytes: number }
  registryScrubbed: () => { damagedBlobs: number; scrubbedBytes: number }
  builds: () => { running: number; succeeded: number; failed: number; lostAttempts: number }
}) {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'freehold_http_requests_total',
    help: 'HTTP requests answered.',
    labelNames: ['method', 'status'] as const,
    registers: [registry],
  })
  const seconds = new Histogram({
    name: 'freehold_http_request_seconds',
    help: 'Time from the head of a request to the end of its answer, streams left out.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers: [registry],
  })
  new Gauge({
    name: 'freehold_registry_blob_bytes',
    help: 'Bytes of all blobs of the registry, as its last garbage collection found them.',
    registers: [registry],
    collect() {
      const { heldBytes } = options.registryStorage()
      if (heldBytes !== null) this.set(heldBytes)
    },
  })
  new Counter({
    name: 'freehold_registry_freed_bytes_total',
    help: 'Bytes the garbage collection of the registry freed.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(options.registryStorage().freedBytes)
    },
  })
  new Gauge({
    name: 'freehold_registry_damaged_blobs',
    help: 'Blobs of the registry whose bytes are known to be damaged.',
    registers: [registry],
    collect() {
      this.set(options.registryScrubbed().damagedBlobs)
    },
  })
  new Counter({
    name: 'freehold_registry_scrubbed_bytes_total',
    help: 'Bytes of blobs that the scrub of the registry read anew.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(options.registryScrubbed().scrubbedBytes)
    },
  })
  new Gauge({
    name: 'freehold_builds_running',
    help: 'Image builds that a worker has now.',
    registers: [registry],
    collect() {
      this.set(options.builds().running)
    },
  })
  new Counter({
    name: 'freehold_builds_ended_total',
    help: 'Image builds that ended since the process began; cancelled ones left out.',
    labelNames: ['state'] as const,
    registers: [registry],
    collect() {
      const { succeeded, failed } = options.builds()
      this.reset()
      this.inc({ state: 'succeeded' }, succeeded)
      this.inc({ state: 'failed' }, failed)
    },
  })
  new Counter({
    name: 'freehold_build_attempts_lost_total',
    help: 'Attempts of image builds that came to nothing and were followed by another, or by none any more.',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(options.builds().lostAttempts)
    },
  })
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    answered(request: { method: string; status: number; durationMs: number; streamed: boolean }): void {
      requests.inc({
        method: knownMethods.has(request.method) ? request.method : 'other',
        status: String(request.status),
      })
      if (!request.streamed) seconds.observe(request.durationMs / 1000)
    },
  }
}
export type Metrics = ReturnType<typeof createMetrics>

/** Labels must not be made by clients. */
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
