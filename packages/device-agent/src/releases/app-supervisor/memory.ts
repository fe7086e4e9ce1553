import { dirname } from 'node:path'
import { mkdir, open, readFile, rename } from '../../builtin.ts'
import { type Fields, fieldsOf, isFields, numberOf, parseJson, textOf } from '../../parse.ts'
import type { LocalApp } from './local-target.ts'

/** What must outlive a restart between a switch and the word that it stays; in a file beside the agent's state. */
export interface AppMemory {
  /** Who brought the release that is on trial; null: none is. */
  trial: { driver: string; releaseId: string; previous: LocalApp | null; baseline: Baseline | null } | null
  /** What `/v1/update` last brought, and the commit that it was known by. */
  update: { releaseId: string; commit: string } | null
}

/** How the containers were when they had begun, to tell whether they began anew since. */
export interface Baseline {
  /** Of this start of the device: another one begins every container anew. */
  bootId: string
  /** By id. */
  containers: Record<string, { restartCount: number; startedAt: string }>
}

export interface MemoryFile {
  load(): Promise<AppMemory>
  /** Resolves when it is on disk. */
  save(memory: AppMemory): Promise<void>
}

/** One call at a time, as a driver makes them. A file that cannot be read counts as none. */
export function openMemoryFile(path: string): MemoryFile {
  return {
    load: async () => readMemory(parseJson(await readFile(path, 'utf8').catch(() => ''))),
    save: async (memory) => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      const draft = `${path}.new`
      const file = await open(draft, 'w', 0o600)
      try {
        await file.writeFile(`${JSON.stringify(memory)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, path)
      const folder = await open(dirname(path), 'r')
      try {
        await folder.sync()
      } finally {
        await folder.close()
      }
    },
  }
}

function readMemory(value: unknown): AppMemory {
  const { trial, update } = fieldsOf(value)
  return { trial: isFields(trial) ? trialOf(trial) : null, update: isFields(update) ? updateOf(update) : null }
}

function trialOf({ driver, releaseId, previous, baseline }: Fields): AppMemory['trial'] {
  const [name, id] = [textOf(driver, 64), textOf(releaseId, 64)]
  if (name === null || id === null) return null
  return {
    driver: name,
    releaseId: id,
    // Written by this module, whole or not at all.
    previous: isFields(previous) && isFields(previous.services) ? (previous as unknown as LocalApp) : null,
    baseline: isFields(baseline) ? baselineOf(baseline) : null,
  }
}

function baselineOf({ bootId, containers }: Fields): Baseline | null {
  const boot = textOf(bootId, 64)
  if (boot === null) return null
  const entries = Object.entries(fieldsOf(containers)).map(([id, told]) => {
    const { restartCount, startedAt } = fieldsOf(told)
    return [id, { restartCount: numberOf(restartCount) ?? 0, startedAt: textOf(startedAt, 64) ?? '' }] as const
  })
  return { bootId: boot, containers: Object.fromEntries(entries) }
}

function updateOf({ releaseId, commit }: Fields): AppMemory['update'] {
  const [id, known] = [textOf(releaseId, 64), textOf(commit, 128)]
  return id === null || known === null ? null : { releaseId: id, commit: known }
}
