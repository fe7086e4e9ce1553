/** One measured thing, beside a peer doing the same and the figure it shall reach. */
export interface Row {
  measure: string
  unit: 'ms' | 's' | 'MB' | 'MB/s' | 'writes/s' | 'requests/s' | 'heartbeats/s' | 'registrations/s'
  /** Null where it could not be measured; `note` then says why. */
  ours: number | null
  peer?: { name: string; value: number }
  /** What the target is set for: our figure, or ours divided by the peer's. */
  target?: { of: 'ours' | 'ratio'; atMost?: number; atLeast?: number }
  /** How it was measured, where the measure alone does not say it. */
  note?: string
}

/** A part of the bench. It throws only where it is broken; what a machine lacks is said in a row's note. */
export interface Part {
  name: string
  run(): Promise<Row[]>
}

/** Ours divided by the peer's; null without both. */
export function ratioOf(row: Row): number | null {
  return row.ours === null || row.peer === undefined ? null : row.ours / row.peer.value
}

/** Whether the target is met; null where there is none or nothing was measured. */
export function isMet(row: Row): boolean | null {
  const value = row.target?.of === 'ratio' ? ratioOf(row) : row.ours
  if (row.target === undefined || value === null) return null
  return (
    value <= (row.target.atMost ?? Number.POSITIVE_INFINITY) &&
    value >= (row.target.atLeast ?? Number.NEGATIVE_INFINITY)
  )
}

/** The value below which `share` of the values lie (nearest rank); NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(sorted.length * share)))
  return sorted[rank - 1] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length / 2
  if (Number.isInteger(middle)) return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
  return sorted[Math.floor(middle)] ?? Number.NaN
}
