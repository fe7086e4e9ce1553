import { FreeholdError } from '@freehold/contracts'

/** A part of the archive cannot be had on this machine: `unavailable`. */
export class MissingPart extends FreeholdError {
  /** What is missing and what to do, for everybody: without paths of this machine and what its programs said. */
  readonly outline: string

  constructor(message: string, options: { outline: string; cause?: unknown }) {
    super('unavailable', message, options)
    this.outline = options.outline
  }
}
