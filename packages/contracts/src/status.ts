import { z } from 'zod'
import { changeSchema } from './identity.ts'
import { idSchema } from './resource.ts'
import { defineRoute } from './route.ts'

export const statusSchema = z.object({
  version: z.string(),
  store: z.enum(['sqlite', 'postgres']),
  storeVersion: z.int(),
  startedAt: z.iso.datetime(),
  publicUrl: z.string(),
  counts: z.object({
    clusters: z.int(),
    nodes: z.int(),
    services: z.int(),
    images: z.int(),
    activeRollouts: z.int(),
    devices: z.int(),
    offlineDevices: z.int(),
    failedUpdateDevices: z.int().describe('Devices that could not take the last release they tried'),
    openReleaseRollouts: z.int(),
    stoppedReleaseRollouts: z.int().describe('Open ones that go no further, because too many devices failed'),
  }),
  /** What needs a person, worst first, at most 50; empty: all is well. */
  problems: z.array(
    z.object({
      severity: z.enum(['error', 'warning']),
      kind: z.string(),
      id: idSchema.nullable(),
      name: z.string(),
      message: z.string(),
    }),
  ),
})

export const statusRoutes = {
  status: {
    get: defineRoute({
      method: 'GET',
      path: '/api/v1/status',
      summary: 'How everything stands',
      access: 'status:read',
      output: statusSchema,
    }),
    health: defineRoute({
      method: 'GET',
      path: '/health',
      summary: 'Whether this process serves (for load balancers)',
      access: 'public',
      output: z.object({ ok: z.literal(true) }),
      errors: ['unavailable'],
    }),
  },
  changes: {
    watch: defineRoute({
      method: 'GET',
      path: '/api/v1/changes',
      summary:
        'Every change after `since`, then each as it happens. SSE: the event id is the version; Last-Event-ID resumes',
      access: 'changes:read',
      query: z.strictObject({
        since: z.coerce.number().int().min(0).optional().describe('Default: now'),
        kinds: z.string().max(500).optional().describe('Comma-separated kinds; default: all you may read'),
      }),
      output: changeSchema,
      format: 'sse',
      errors: ['feed-expired'],
    }),
  },
}
