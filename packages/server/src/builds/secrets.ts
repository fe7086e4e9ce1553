import { z } from 'zod'
import { type Sealer, Secret } from '../secrets/index.ts'

/** What an attempt puts into the image and nobody else may read. */
export interface BuildSecrets {
  joinToken: string
  wifiPassphrase: string | null
}

const schema = z.strictObject({ joinToken: z.string(), wifiPassphrase: z.string().nullable() })

/** Bound to the build's id: in another row it does not open. */
export function sealSecrets(sealer: Sealer, buildId: string, secrets: BuildSecrets): string {
  return sealer.seal(new Secret(JSON.stringify(secrets)), buildId)
}

/** Throws `conflict` where it was sealed under another secret of the installation. */
export function openSecrets(sealer: Sealer, buildId: string, sealed: string): BuildSecrets {
  return schema.parse(JSON.parse(sealer.open(sealed, buildId).reveal()))
}

const mark = '[redacted]'

/**
 * Takes secrets out of what a worker said: a foreign image tool may print its whole configuration. Each is looked for as
 * it is, as JSON and as percent-encoding write it.
 */
export function createRedactor(secrets: readonly (string | null | undefined)[]): (text: string) => string {
  const forms = secrets
    .filter((secret): secret is string => typeof secret === 'string' && secret !== '')
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)])
  const longestFirst = [...new Set(forms)].toSorted((one, other) => other.length - one.length)
  return (text) => longestFirst.reduce((rest, form) => rest.replaceAll(form, mark), text)
}
