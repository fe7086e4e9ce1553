import { FreeholdError } from '@freehold/contracts'
import type { Key } from './row.ts'
import type { AnyKind } from './store.ts'
import { joinKey } from './writes.ts'

interface Claim {
  kind: AnyKind
  name: string
  key: string
  /** Who waits, the first first. */
  ids: string[]
}

interface Tools {
  holder(kind: string, name: string, key: string): Promise<string | undefined>
  /** Writes down who holds a key from now on; null for nobody. */
  give(held: { kind: string; name: string; key: string; id: string | null }): void
}

/**
 * The unique keys one transaction wants. A key that another resource holds is waited for: when the holder lets go within
 * the transaction, the first who waits has it; who still waits at the end is refused.
 */
export class UniqueClaims {
  readonly #tools: Tools
  readonly #waiting = new Map<string, Claim>()

  constructor(tools: Tools) {
    this.#tools = tools
  }

  async claim(kind: AnyKind, id: string, { name, key }: Key): Promise<void> {
    const holder = await this.#tools.holder(kind.name, name, key)
    if (holder === undefined) {
      this.#tools.give({ kind: kind.name, name, key, id })
      return
    }
    const joined = joinKey(kind.name, name, key)
    const claim = this.#waiting.get(joined)
    if (claim) claim.ids.push(id)
    else this.#waiting.set(joined, { kind, name, key, ids: [id] })
  }

  /** The resource needs the key no longer, whether it held it or still waited for it. */
  release(kind: AnyKind, id: string, { name, key }: Key): void {
    const joined = joinKey(kind.name, name, key)
    const claim = this.#waiting.get(joined)
    if (claim?.ids.includes(id)) claim.ids.splice(claim.ids.indexOf(id), 1)
    else this.#tools.give({ kind: kind.name, name, key, id: claim?.ids.shift() ?? null })
    if (claim?.ids.length === 0) this.#waiting.delete(joined)
  }

  /** Throws `already-exists` when somebody still waits. */
  check(): void {
    for (const { kind, name, key } of this.#waiting.values()) {
      const shown = kind.redact.length > 0 || key.startsWith('#') ? '' : ` "${key}"`
      throw new FreeholdError('already-exists', `Another ${kind.name} has this ${name}${shown} already.`)
    }
  }
}
