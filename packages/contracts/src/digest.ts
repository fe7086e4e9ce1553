import { z } from 'zod'

/** A digest of content (OCI Image 1.1, "Digests"). */
export const digestSchema = z.string().regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/, 'sha256:… or sha512:…')
