import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A folder of one job. */
export interface Workspace {
  folder: string
  /** Says that a program of this job runs in a process group, which must end with the worker. */
  owns(groupId: number): Promise<void>
}

const groupFile = 'process-group'

/**
 * Runs `work` in a new folder below `parent` and removes it whatever happens. Its name tells whose it is: process id and
 * the time the process was started, so that a worker which was killed is told from a new one with its id.
 */
export async function withWorkspace<Result>(
  parent: string,
  work: (workspace: Workspace) => Promise<Result>,
): Promise<Result> {
  const folder = join(parent, `job-${process.pid}-${await startOf(process.pid)}-${randomUUID().slice(0, 8)}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    return await work({
      folder,
      owns: async (groupId) => writeFile(join(folder, groupFile), `${groupId} ${await startOf(groupId)}`),
    })
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Removes what workers left that were killed, and ends the programs they had started. Gives how many folders there were. */
export async function removeLeftovers(parent: string): Promise<number> {
  await mkdir(parent, { recursive: true, mode: 0o700 })
  let removed = 0
  for (const name of await readdir(parent)) {
    const [, pid, start] = /^job-(\d+)-(\d+)-/.exec(name) ?? []
    if (pid === undefined || (Number(pid) !== process.pid && (await startOf(Number(pid))) === start)) continue
    const folder = join(parent, name)
    await endGroupOf(folder)
    await endProgramsOf(folder)
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    removed += 1
  }
  return removed
}

async function endGroupOf(folder: string): Promise<void> {
  const [group = '', start] = (await readFile(join(folder, groupFile), 'utf8').catch(() => '')).split(' ')
  // A process that was given the same id since then was started at another time.
  if (!/^\d+$/.test(group) || start === '0' || (await startOf(Number(group))) !== start) return
  killGroup(Number(group))
}

/** Programs that the image tool runs have their temporary files in the workspace, and their environment says so. */
async function endProgramsOf(folder: string): Promise<void> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const variables = (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).split('\0')
    if (variables.some((variable) => `${variable}/`.startsWith(`TMPDIR=${folder}/`))) killProcess(Number(pid))
  }
}

/** Ends a process group at once; nothing happens where it is gone. */
export function killGroup(groupId: number): void {
  killProcess(-groupId)
}

function killProcess(id: number): void {
  try {
    process.kill(id, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** When a process was started, in clock ticks since the machine was (proc_pid_stat(5), field 22); 0 where there is none. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name of the program stands in parentheses and may hold anything.
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0'
}
