/**
 * Records of a few numbers each, for very many devices, in one array. As fields of objects every number that is no small
 * one is an object of its own, and a collection of garbage walks through all of them; into this array it does not look.
 */
export interface Records {
  /** The place of a new record; all its numbers are 0. */
  take(): number
  /** Nobody has the record at this place any more; it may be taken again. */
  give(place: number): void
  read(place: number, field: number): number
  write(place: number, field: number, value: number): void
}

/** `width`: numbers in a record. Room is made for `atFirst` records, and for twice as many whenever it is used up. */
export function createRecords({ width, atFirst }: { width: number; atFirst: number }): Records {
  let numbers = new Float64Array(width * atFirst)
  let taken = 0
  const free: number[] = []

  function grow(): void {
    const larger = new Float64Array(numbers.length * 2)
    larger.set(numbers)
    numbers = larger
  }

  return {
    take() {
      let place = free.pop()
      if (place === undefined) {
        place = taken
        taken += width
        if (taken > numbers.length) grow()
      }
      numbers.fill(0, place, place + width)
      return place
    },
    give(place) {
      free.push(place)
    },
    read: (place, field) => numbers[place + field] ?? 0,
    write(place, field, value) {
      numbers[place + field] = value
    },
  }
}
