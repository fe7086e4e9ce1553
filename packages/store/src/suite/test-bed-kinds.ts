import { defineKind } from '@freehold/contracts'
import { z } from 'zod'
import type { Actor } from '../store.ts'

export const service = defineKind({
  name: 'service',
  plural: 'services',
  data: z.object({
    name: z.string(),
    cluster: z.string().optional(),
    image: z.string().optional(),
    replicas: z.number().optional(),
  }),
  status: z.object({ phase: z.string() }),
  initialStatus: { phase: 'new' },
  indexes: { cluster: ({ data }) => data.cluster, phase: ({ status }) => status.phase },
  unique: { name: ({ data }) => data.name },
})

export const user = defineKind({
  name: 'user',
  plural: 'users',
  data: z.object({ name: z.string(), passwordHash: z.string() }),
  status: z.object({}),
  initialStatus: {},
  unique: { name: ({ data }) => data.name },
  redact: ['passwordHash'],
})

export const note = defineKind({
  name: 'note',
  plural: 'notes',
  data: z.unknown(),
  status: z.unknown(),
  initialStatus: null,
})

export const kinds = [service, user, note]
export const alice: Actor = { type: 'user', id: '0190-alice', name: 'alice' }
