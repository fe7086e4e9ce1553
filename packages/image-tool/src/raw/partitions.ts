/**
 * Partition tables: the master boot record with its chain of logical partitions, and GPT (UEFI specification 2.10,
 * chapter 5). Pure: what is read next is returned, not read.
 */

export interface Partition {
  /** As Linux numbers them: logical partitions begin at 5. */
  number: number
  startBytes: number
  sizeBytes: number
  /** Name in a GPT; empty in a master boot record. */
  name: string
}

/** A partition that holds others, of which the first record is at `startBytes`. */
export interface ExtendedPartition {
  startBytes: number
}

export interface PartitionTable {
  type: 'mbr' | 'gpt'
  partitions: Partition[]
  extended: ExtendedPartition[]
}

const sectorBytes = 512
const extendedTypes = new Set([0x05, 0x0f, 0x85])
const protectiveType = 0xee
const mostEntries = 128

/** As many bytes of a disk as `readPartitionTable` looks at: boot record, GPT header, 128 entries. */
export const tableBytes = 34 * sectorBytes

/** The table at the beginning of a disk; undefined where there is none that can be read. */
export function readPartitionTable(disk: Buffer): PartitionTable | undefined {
  if (disk.length < tableBytes || disk.readUInt16LE(510) !== 0xaa55) return undefined
  const records = readRecords(disk)
  if (records.some(({ type }) => type === protectiveType)) return readGpt(disk)
  const used = records.filter(({ type, sizeBytes }) => type !== 0 && sizeBytes > 0)
  if (used.length === 0) return undefined
  return {
    type: 'mbr',
    partitions: used
      .filter(({ type }) => !extendedTypes.has(type))
      .map(({ number, startBytes, sizeBytes }) => ({ number, startBytes, sizeBytes, name: '' })),
    extended: used.filter(({ type }) => extendedTypes.has(type)).map(({ startBytes }) => ({ startBytes })),
  }
}

/**
 * One record of the chain in an extended partition: the logical partition it describes, and where the next record is.
 * `recordBytes` is where this record lies, `extendedBytes` where the extended partition begins.
 */
export function readLogical(
  record: Buffer,
  place: { recordBytes: number; extendedBytes: number; number: number },
): { partition?: Partition; nextBytes?: number } | undefined {
  if (record.readUInt16LE(510) !== 0xaa55) return undefined
  const [first, second] = readRecords(record)
  const result: { partition?: Partition; nextBytes?: number } = {}
  if (first !== undefined && first.type !== 0 && first.sizeBytes > 0) {
    const startBytes = place.recordBytes + first.startBytes
    result.partition = { number: place.number, startBytes, sizeBytes: first.sizeBytes, name: '' }
  }
  if (second !== undefined && extendedTypes.has(second.type)) {
    result.nextBytes = place.extendedBytes + second.startBytes
  }
  return result
}

function readRecords(sector: Buffer) {
  return [0, 1, 2, 3].map((index) => {
    const at = 446 + 16 * index
    return {
      number: index + 1,
      type: sector[at + 4] ?? 0,
      startBytes: sector.readUInt32LE(at + 8) * sectorBytes,
      sizeBytes: sector.readUInt32LE(at + 12) * sectorBytes,
    }
  })
}

function readGpt(disk: Buffer): PartitionTable | undefined {
  const header = disk.subarray(sectorBytes, 2 * sectorBytes)
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return undefined
  const entriesAt = Number(header.readBigUInt64LE(72)) * sectorBytes
  const count = Math.min(header.readUInt32LE(80), mostEntries)
  const entryBytes = header.readUInt32LE(84)
  if (entryBytes < 128 || entryBytes > 512) return undefined
  const partitions: Partition[] = []
  for (let index = 0; index < count; index += 1) {
    const at = entriesAt + index * entryBytes
    if (at + 128 > disk.length) break
    const entry = disk.subarray(at, at + 128)
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue
    const [first, last] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))]
    if (last < first) return undefined
    const name = entry.toString('utf16le', 56, 128).split('\0')[0] ?? ''
    const startBytes = first * sectorBytes
    partitions.push({ number: index + 1, startBytes, sizeBytes: (last - first + 1) * sectorBytes, name })
  }
  return { type: 'gpt', partitions, extended: [] }
}

export interface FileSystem {
  type: 'fat' | 'ext' | 'unknown'
  label: string
  /** An ext file system that was not unmounted cleanly; writing into it would be undone by its journal. */
  isUnclean: boolean
}

/** As many bytes of a partition as `readFileSystem` looks at. */
export const fileSystemBytes = 2048

export function readFileSystem(head: Buffer): FileSystem {
  if (head.length >= fileSystemBytes && head.readUInt16LE(1024 + 56) === 0xef53) {
    const isUnclean = (head.readUInt32LE(1024 + 96) & 0x4) !== 0
    return { type: 'ext', label: textAt(head, 1024 + 120, 16), isUnclean }
  }
  if (head.length >= 512 && head.readUInt16LE(510) === 0xaa55) {
    if (head.toString('latin1', 82, 87) === 'FAT32') return fat(textAt(head, 71, 11))
    if (head.toString('latin1', 54, 57) === 'FAT') return fat(textAt(head, 43, 11))
  }
  return { type: 'unknown', label: '', isUnclean: false }
}

function fat(label: string): FileSystem {
  return { type: 'fat', label, isUnclean: false }
}

function textAt(bytes: Buffer, at: number, length: number): string {
  return (bytes.toString('latin1', at, at + length).split('\0')[0] ?? '').trim()
}
