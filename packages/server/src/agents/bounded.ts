import type { NodeFacts, Report } from '@freehold/contracts'

const textLimit = 1000
const logTailLines = 20
const logLineLimit = 500
const listLimits = { swarmNodes: 1000, drift: 50, pending: 200 }
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be taken out.
const controls = /[\u0000-\u001f\u007f-\u009f]/g

/**
 * A report as it may be kept and shown: whatever a container, an engine or a broken agent wrote into it, texts are
 * short and hold no control characters (a terminal obeys them, PostgreSQL refuses NUL), and lists have an end.
 */
export function boundedReport(report: Report): Report {
  const bounded = boundTexts(report)
  const { cluster } = bounded
  if (cluster === null) return bounded
  return {
    ...bounded,
    cluster: {
      ...cluster,
      swarmNodes: cluster.swarmNodes.slice(0, listLimits.swarmNodes),
      drift: cluster.drift.slice(0, listLimits.drift),
      pending: cluster.pending.slice(0, listLimits.pending),
      workloads: cluster.workloads.map((workload) => ({
        ...workload,
        tasks: workload.tasks.map((task) => ({ ...task, logTail: boundedLines(task.logTail) })),
      })),
    },
  }
}

/** What an agent says of its machine, within the same bounds. */
export function boundedFacts(facts: NodeFacts): NodeFacts {
  return boundTexts(facts)
}

/** One text within the same bounds; it keeps its beginning. */
export function boundedText(text: string, limit = textLimit): string {
  return text.slice(0, limit).toWellFormed().replace(controls, ' ')
}

function boundedLines(lines: readonly string[]): string[] {
  return lines.slice(-logTailLines).map((line) => boundedText(line, logLineLimit))
}

function boundTexts<Value>(value: Value): Value {
  if (typeof value === 'string') return boundedText(value) as Value
  if (Array.isArray(value)) return value.map((item) => boundTexts(item)) as Value
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, boundTexts(item)])) as Value
}
