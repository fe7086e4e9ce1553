import { digestSchema } from '@freehold/contracts'
import { z } from 'zod'
import type { RegistryContent } from '../registry/index.ts'
import { bundleLimitBytes, isBundleType, verifyBundle } from './bundle.ts'
import type { Demand } from './demand.ts'
import { type Finding, parseJson } from './finding.ts'
import { payloadLimitBytes, signatureAnnotation, simpleSigningType, verifySimpleSigning } from './simple-signing.ts'

/** Signatures read of one image; whoever may push could add thousands. */
export const signaturesRead = 100

const signatureArtifactType = 'application/vnd.dev.cosign.artifact.sig.v1+json'
const manifestSchema = z.object({
  layers: z
    .array(
      z.object({
        mediaType: z.string(),
        digest: digestSchema,
        annotations: z.record(z.string(), z.unknown()).nullish(),
      }),
    )
    .nullish(),
})

/**
 * Finds the signatures of a digest in its repository and answers what each is worth, until one counts. They lie at the
 * tag `sha256-<hex>.sig`, in referrers of that same layout, and in referrers that are Sigstore bundles.
 */
export async function readSignatures(
  content: RegistryContent,
  { repository, demand }: { repository: string; demand: Demand },
): Promise<Finding[]> {
  const findings: Finding[] = []
  for await (const finding of eachSignature(content, { repository, demand })) {
    findings.push(finding)
    if ('signer' in finding || findings.length >= signaturesRead) break
  }
  return findings
}

async function* eachSignature(
  content: RegistryContent,
  { repository, demand }: { repository: string; demand: Demand },
): AsyncGenerator<Finding> {
  const tagged = await content.digestOfTag(repository, `${demand.digest.replace(':', '-')}.sig`)
  const referrers = await content.referrers(repository, demand.digest, {
    isWanted: (type) => type === signatureArtifactType || isBundleType(type),
    limit: signaturesRead,
  })
  const digests = [...(tagged === undefined ? [] : [tagged]), ...referrers.map(({ digest }) => digest)]
  for (const digest of digests) {
    const bytes = await content.manifest(repository, digest)
    const manifest = bytes === undefined ? undefined : manifestSchema.safeParse(parseJson(bytes))
    if (manifest?.success !== true) {
      yield { refused: 'its manifest cannot be read' }
      continue
    }
    for (const layer of manifest.data.layers ?? []) {
      if (layer.mediaType === simpleSigningType) {
        const payload = await content.blob(repository, layer.digest, { limitBytes: payloadLimitBytes })
        if (payload === undefined) yield { refused: 'what was signed is missing, damaged or too large' }
        else yield verifySimpleSigning({ payload, signature: layer.annotations?.[signatureAnnotation] }, demand)
      } else if (isBundleType(layer.mediaType)) {
        const bundle = await content.blob(repository, layer.digest, { limitBytes: bundleLimitBytes })
        yield bundle === undefined
          ? { refused: 'its bundle is missing, damaged or too large' }
          : verifyBundle(bundle, demand)
      }
    }
  }
}
