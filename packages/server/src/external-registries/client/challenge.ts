/** One challenge of a WWW-Authenticate header (RFC 9110 §11.3): its scheme in lower case and its parameters. */
export interface Challenge {
  scheme: string
  parameters: Record<string, string>
}

const headerLimit = 8192
const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const quoted = /"((?:[^"\\]|\\.)*)"/y

/** All challenges of the header; what does not parse ends them. */
export function parseChallenges(header: string | undefined): Challenge[] {
  const text = (header ?? '').slice(0, headerLimit)
  const challenges: Challenge[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) at = pattern.lastIndex
    return match
  }
  const skip = () => take(/[ \t,]*/y)
  for (skip(); at < text.length; skip()) {
    const name = take(token)?.[0]
    if (name === undefined) break
    take(/[ \t]*/y)
    const current = challenges.at(-1)
    if (text[at] !== '=' || current === undefined) {
      challenges.push({ scheme: name.toLowerCase(), parameters: {} })
      continue
    }
    at += 1
    take(/[ \t]*/y)
    const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(token)?.[0]
    if (value === undefined) break
    current.parameters[name.toLowerCase()] = value
  }
  return challenges
}
