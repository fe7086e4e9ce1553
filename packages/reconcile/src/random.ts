/** Randomness as a parameter, for jitter and simulations. Never for secrets. */
export interface Random {
  /** At least 0, below 1. */
  next(): number
  /** A whole number, at least 0, below `limit`. */
  below(limit: number): number
}

/** The same seed gives the same sequence (the splitmix32 generator). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return randomFrom(() => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    mixed ^= mixed >>> 15
    return (mixed >>> 0) / 2 ** 32
  })
}

/** Different on every start. */
export const systemRandom: Random = randomFrom(Math.random)

function randomFrom(next: () => number): Random {
  return { next, below: (limit) => Math.floor(next() * limit) }
}
