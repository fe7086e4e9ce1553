import { z } from 'zod'
import { damagedBlobKind } from './images.ts'
import { defineKind } from './resource.ts'
import { defineRoute, getRoute, listRoute } from './route.ts'

const passSchema = z.object({
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  checkedBlobs: z.int(),
  checkedBytes: z.int(),
  /** Blobs that could not be looked at; the next pass tries again. */
  failures: z.int(),
})

/** The one record of the registry's scrub: what its last whole pass saw. The position of a running pass is a fact of it. */
export const scrubKind = defineKind({
  name: 'scrub',
  plural: 'scrubs',
  data: z.strictObject({ name: z.literal('registry') }),
  status: z.object({ lastPass: passSchema.nullable() }),
  initialStatus: { lastPass: null },
  unique: { name: (scrub) => scrub.data.name },
})

export const scrubSchema = z.object({
  /** Null while no pass is under way; it goes on where it was after a restart. */
  running: z
    .object({ startedAt: z.iso.datetime(), checkedBlobs: z.int(), checkedBytes: z.int(), position: z.string() })
    .nullable(),
  lastPass: passSchema.nullable(),
  damagedBlobs: z.int(),
})

export const scrubRoutes = {
  'damaged-blobs': {
    list: listRoute(damagedBlobKind, 'images:read'),
    get: getRoute(damagedBlobKind, 'images:read'),
  },
  scrub: {
    get: defineRoute({
      method: 'GET',
      path: '/api/v1/registry/scrub',
      summary: 'How far the re-reading of all blobs is, and what it found',
      access: 'images:read',
      output: scrubSchema,
    }),
    run: defineRoute({
      method: 'POST',
      path: '/api/v1/registry/scrub',
      summary: 'Begin to read all blobs anew now; one that is under way goes on',
      access: 'images:write',
      output: scrubSchema,
      status: 202,
    }),
  },
}
