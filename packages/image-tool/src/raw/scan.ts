import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { BuildContext } from '../context.ts'
import { storageErrorOf } from '../output.ts'
import { requireSpace } from '../workspace.ts'
import {
  type FileSystem,
  fileSystemBytes,
  type Partition,
  readFileSystem,
  readLogical,
  readPartitionTable,
  tableBytes,
} from './partitions.ts'
import type { ForwardReader } from './reader.ts'

export interface FoundPartition extends Partition {
  fileSystem: FileSystem
  /** Name inside the workspace of its copy, where it was taken out. */
  copy?: string
}

/** Something to be looked at on the way through the image. */
interface Visit {
  offset: number
  look: () => Promise<Visit[]>
}

const mostLogicals = 64

/**
 * Goes through a disk image once, from its beginning, and takes out the partitions that `wanted` says. It stops as
 * soon as `enough` of what was found says so. Throws `invalid-input` where there is no partition table or the image ends
 * too early.
 */
export async function scanPartitions(
  reader: ForwardReader,
  decide: { wanted: (partition: FoundPartition) => boolean; enough: (found: readonly FoundPartition[]) => boolean },
  context: BuildContext,
): Promise<FoundPartition[]> {
  const found: FoundPartition[] = []
  const visitPartition = (partition: Partition): Visit => ({
    offset: partition.startBytes,
    look: async () => {
      if (partition.sizeBytes < fileSystemBytes) return []
      const head = await reader.read(partition.startBytes, fileSystemBytes)
      const entry: FoundPartition = { ...partition, fileSystem: readFileSystem(head) }
      found.push(entry)
      if (decide.wanted(entry)) entry.copy = await takeOut(entry, { reader, head }, context)
      return []
    },
  })
  const visitLogical = (place: { recordBytes: number; extendedBytes: number; number: number }): Visit => ({
    offset: place.recordBytes,
    look: async () => {
      const logical = readLogical(await reader.read(place.recordBytes, 512), place)
      if (logical === undefined) throw damagedTable()
      const visits = logical.partition === undefined ? [] : [visitPartition(logical.partition)]
      const { nextBytes } = logical
      if (nextBytes === undefined) return visits
      if (nextBytes <= place.recordBytes || place.number - 5 >= mostLogicals) throw damagedTable()
      return [...visits, visitLogical({ ...place, recordBytes: nextBytes, number: place.number + 1 })]
    },
  })

  const table = readPartitionTable(await reader.read(0, tableBytes))
  if (table === undefined) {
    throw new FreeholdError('invalid-input', 'The base image has no partition table: it is not the image of a disk.')
  }
  const visits = [
    ...table.partitions.map(visitPartition),
    ...table.extended.map(({ startBytes }) =>
      visitLogical({ recordBytes: startBytes, extendedBytes: startBytes, number: 5 }),
    ),
  ]
  if (visits.some(({ offset }) => offset < 512)) throw damagedTable()
  while (visits.length > 0 && !decide.enough(found)) {
    context.signal.throwIfAborted()
    visits.sort((one, other) => one.offset - other.offset)
    visits.push(...((await visits.shift()?.look()) ?? []))
  }
  return found
}

/** Copies a partition into the workspace, of which the beginning was read already. */
async function takeOut(
  partition: FoundPartition,
  { reader, head }: { reader: ForwardReader; head: Buffer },
  context: BuildContext,
): Promise<string> {
  const { number, startBytes, sizeBytes } = partition
  await requireSpace([{ folder: context.workspace, sizeBytes, what: `partition ${number}` }], context.freeBytes)
  const name = `partition-${number}`
  async function* bytes() {
    yield head
    let doneBytes = head.length
    for await (const chunk of reader.range(startBytes + head.length, sizeBytes - head.length)) {
      doneBytes += chunk.length
      context.progress({ phase: 'inspect', doneBytes, totalBytes: sizeBytes })
      yield chunk
    }
  }
  try {
    await writeFile(join(context.workspace, name), bytes(), { signal: context.signal, mode: 0o600 })
  } catch (error) {
    throw storageErrorOf(error, context.workspace)
  }
  return name
}

function damagedTable(): FreeholdError {
  return new FreeholdError('invalid-input', 'The partition table of the base image is damaged.')
}
