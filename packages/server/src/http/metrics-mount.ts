import { FreeholdError } from '@freehold/contracts'
import type { Authenticate } from './api.ts'
import { authorize } from './authorize.ts'
import type { Metrics } from './metrics.ts'
import type { RawMount } from './mounts.ts'

/** `GET /metrics` for Prometheus, with a token that may read the status. */
export function metricsMount(options: { metrics: Metrics; authenticate: Authenticate }): RawMount {
  return {
    prefix: '/metrics',
    async handle(request, response) {
      const { caller } = await options.authenticate(request)
      authorize(caller, 'status:read', { noun: 'metrics' })
      if (request.method !== 'GET') throw new FreeholdError('method-not-allowed', 'This address takes GET.')
      const text = await options.metrics.text()
      response.writeHead(200, {
        'content-type': options.metrics.contentType,
        'content-length': Buffer.byteLength(text),
        'cache-control': 'no-store',
      })
      response.end(text)
    },
  }
}
