/** Runs work once for all who want the same thing at the same time. */
export interface SingleFlight<T> {
  /** Joins the work under way for `key`, or begins it. */
  run(key: string, work: () => Promise<T>): Promise<T>
}

export function createSingleFlight<T>(): SingleFlight<T> {
  const flights = new Map<string, Promise<T>>()
  return {
    run(key, work) {
      const joined = flights.get(key)
      if (joined !== undefined) return joined
      const flight = work().finally(() => flights.delete(key))
      flights.set(key, flight)
      return flight
    },
  }
}
