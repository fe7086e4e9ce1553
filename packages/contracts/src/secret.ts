/** What `util.inspect` asks an object for; importing the module itself would cost an agent memory. */
const inspected = Symbol.for('nodejs.util.inspect.custom')

/**
 * A value that shows only when `reveal` is called, by the one place that sends or compares it: its text, JSON and
 * inspect forms are all `[redacted]`.
 */
export class Secret<T extends string | Uint8Array = string> {
  static readonly redacted = '[redacted]'
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  reveal(): T {
    return this.#value
  }

  toString(): string {
    return Secret.redacted
  }

  toJSON(): string {
    return Secret.redacted
  }

  [inspected](): string {
    return Secret.redacted
  }
}
