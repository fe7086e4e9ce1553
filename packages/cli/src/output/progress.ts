import type { Io } from '../io.ts'
import type { Output } from './output.ts'
import { bytes, plain, truncate } from './text.ts'

export interface Measure {
  /** What is done: "Uploading". */
  label: string
  doneBytes: number
  /** Null: nobody knows. */
  totalBytes: number | null
}

/** Tells how far something is, on standard error. */
export interface ProgressMeter {
  report(measure: Measure): void
  /** Takes the line away, so that something else may be written. */
  clear(): void
}

const redrawMs = 200
const stepPercent = 10
const stepBytes = 512 * 1024 * 1024

/**
 * On a terminal one line that is written over; elsewhere (a log of a script) a line for each label and each tenth.
 * Nothing at all with `--json`.
 */
export function createProgressMeter(io: Io, output: Output): ProgressMeter {
  if (output.json) return { report: () => {}, clear: () => {} }
  return io.terminal.stderr ? createLine(io) : createSteps(output)
}

function createLine(io: Io): ProgressMeter {
  let drawnAtMs = 0
  let isDrawn = false
  let label = ''
  return {
    report(measure) {
      const nowMs = io.now().getTime()
      const isEnd = measure.doneBytes === measure.totalBytes
      if (measure.label === label && !isEnd && nowMs - drawnAtMs < redrawMs) return
      label = measure.label
      drawnAtMs = nowMs
      isDrawn = true
      io.error(`\r\u001b[K${truncate(describeMeasure(measure), (io.columns ?? 80) - 1)}`)
    },
    clear() {
      if (isDrawn) io.error('\r\u001b[K')
      isDrawn = false
    },
  }
}

function createSteps(output: Output): ProgressMeter {
  let said = ''
  return {
    report(measure) {
      const { label, doneBytes, totalBytes } = measure
      const step =
        totalBytes === null || totalBytes === 0
          ? Math.floor(doneBytes / stepBytes)
          : Math.floor((doneBytes / totalBytes) * (100 / stepPercent))
      const key = `${label} ${step}`
      if (key === said) return
      said = key
      output.note(describeMeasure(measure))
    },
    clear() {},
  }
}

/** `Uploading  [####----------------]  21 %  512.0 MiB of 2.4 GiB` */
export function describeMeasure({ label, doneBytes, totalBytes }: Measure): string {
  if (totalBytes === null || totalBytes <= 0) return plain(`${label}  ${doneBytes > 0 ? bytes(doneBytes) : '…'}`)
  const part = Math.min(1, doneBytes / totalBytes)
  const filled = Math.floor(part * barWidth)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`
  return plain(`${label}  ${bar}  ${Math.floor(part * 100)} %  ${bytes(doneBytes)} of ${bytes(totalBytes)}`)
}

const barWidth = 20
