import { z } from 'zod'
import { defineKind } from './resource.ts'

/** What the control plane knows of the installation it belongs to; there is one, and no route shows it. */
export const installationKind = defineKind({
  name: 'installation',
  plural: 'installations',
  data: z.strictObject({
    /** Derived from the secret the store was made with; tells that secret from others and nothing about it. */
    secretCheck: z.string(),
  }),
  status: z.object({}),
  initialStatus: {},
  unique: { one: () => 'one' },
})
