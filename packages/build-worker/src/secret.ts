import { Secret } from '@freehold/contracts'

/** Takes the secrets of one job out of what programs and servers say. */
export type Redact = (text: string) => string

/** What is shorter would be found in every sentence. */
const shortestCharacters = 4

/** `secrets` may come quoted for JSON or for an address; a secret that `text` ends within is taken out as well. */
export function createRedact(secrets: readonly (string | undefined)[]): Redact {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret === undefined || secret.length < shortestCharacters) continue
    for (const form of [secret, encodeURIComponent(secret.toWellFormed()), JSON.stringify(secret).slice(1, -1)]) {
      forms.add(form)
    }
  }
  // The longest first: one may hold another.
  const known = [...forms].sort((one, other) => other.length - one.length)
  return (text) => {
    const cleaned = known.reduce((rest, form) => rest.replaceAll(form, Secret.redacted), text)
    const cut = Math.max(0, ...known.map((form) => overlap(cleaned, form)))
    return cut < shortestCharacters ? cleaned : cleaned.slice(0, -cut) + Secret.redacted
  }
}

/** Characters at the end of `text` that `form` begins with. */
function overlap(text: string, form: string): number {
  for (let count = Math.min(form.length - 1, text.length); count > 0; count -= 1) {
    if (text.endsWith(form.slice(0, count))) return count
  }
  return 0
}
