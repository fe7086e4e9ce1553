import type { Engine } from '../docker/engine.ts'
import type { SwarmTask } from '../docker/types.ts'
import { hasFailed, type LogTailOf } from './report.ts'

const linesKept = 20
const lineLengthKept = 500
const readPerPass = 8
const readLimitMs = 1500

/** The last words of failed tasks: read once a task, kept while the Swarm still lists it. */
export function createLogTails(engine: Engine) {
  const tails = new Map<string, string[]>()

  const read = async (task: SwarmTask, signal: AbortSignal): Promise<void> => {
    tails.set(task.ID, [])
    if (!task.Status.ContainerStatus?.ContainerID) return
    const lines: { at: string; line: string }[] = []
    const limited = AbortSignal.any([signal, AbortSignal.timeout(readLimitMs)])
    try {
      for await (const { at, line } of engine.taskLogs({ id: task.ID, tail: linesKept }, limited)) {
        lines.push({ at, line: line.slice(0, lineLengthKept) })
      }
    } catch (error) {
      // Containers are cleaned away and nodes leave: then the words are lost, and the task's message has to do.
      if (lines.length === 0) tails.set(task.ID, [`(the log could not be read: ${(error as Error).message})`])
    }
    lines.sort((a, b) => a.at.localeCompare(b.at))
    if (lines.length > 0)
      tails.set(
        task.ID,
        lines.slice(-linesKept).map(({ line }) => line),
      )
  }

  return {
    of: ((taskId) => tails.get(taskId) ?? []) as LogTailOf,
    /** Reads the tails not read yet, newest failures first, and forgets those of tasks that are gone. */
    refresh: async (tasks: SwarmTask[], signal: AbortSignal): Promise<void> => {
      const listed = new Set(tasks.map(({ ID }) => ID))
      for (const taskId of tails.keys()) if (!listed.has(taskId)) tails.delete(taskId)
      const unread = tasks
        .filter((task) => hasFailed(task) && !tails.has(task.ID))
        .sort((a, b) => b.Status.Timestamp.localeCompare(a.Status.Timestamp))
      await Promise.all(unread.slice(0, readPerPass).map((task) => read(task, signal)))
    },
  }
}
