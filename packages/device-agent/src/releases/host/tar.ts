import { FreeholdError } from '@freehold/contracts/lean'

/** One entry of an archive. `content` is to be read to its end before the next entry is asked for. */
export interface TarEntry {
  path: string
  kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device'
  mode: number
  userId: number
  groupId: number
  sizeBytes: number
  modifiedSeconds: number
  /** Of a link: where it leads. */
  linkPath: string
  content(): AsyncIterable<Buffer>
}

const block = 512
/** Of an extended header: names and numbers, never contents. */
const headerLimitBytes = 64 * 1024

/**
 * Reads a tar archive (POSIX.1-2017 pax, ustar; GNU long names and numbers), streaming. Throws `invalid-input` at the
 * first byte that does not fit. What follows the end of the archive is not read.
 */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry, void> {
  const bytes = createByteReader(source)
  let extended: Record<string, string> = {}
  for (;;) {
    const header = await bytes.take(block)
    if (header === null || header.every((byte) => byte === 0)) return
    if (!isHeader(header)) throw damaged('a header’s checksum is wrong')
    const type = String.fromCharCode(header[156] ?? 0)
    const sizeBytes = numberAt(header, 124, 12)
    if (type === 'x' || type === 'L' || type === 'K' || type === 'g') {
      if (sizeBytes > headerLimitBytes) throw damaged('a name is too long')
      const text = (await bytes.take(padded(sizeBytes)))?.subarray(0, sizeBytes)
      if (text === undefined) throw damaged('it breaks off')
      if (type === 'x') extended = { ...extended, ...recordsOf(text) }
      if (type === 'L') extended = { ...extended, path: untilZero(text) }
      if (type === 'K') extended = { ...extended, linkpath: untilZero(text) }
      continue
    }
    const entry = entryOf({ header, type, sizeBytes, extended })
    extended = {}
    let isRead = entry.sizeBytes === 0
    const content = async function* () {
      isRead = true
      yield* bytes.pass(entry.sizeBytes)
      await bytes.take(padded(entry.sizeBytes) - entry.sizeBytes)
    }
    yield { ...entry, content }
    if (!isRead) for await (const _ of content());
  }
}

function entryOf(options: {
  header: Buffer
  type: string
  sizeBytes: number
  extended: Record<string, string>
}): Omit<TarEntry, 'content'> {
  const { header, type, extended } = options
  const kind = kinds[type]
  if (kind === undefined) throw damaged(`it has an entry of the unknown type ${JSON.stringify(type)}`)
  const isUstar = header.toString('latin1', 257, 262) === 'ustar' && header[262] === 0
  const prefix = isUstar ? untilZero(header.subarray(345, 500)) : ''
  const name = untilZero(header.subarray(0, 100))
  const sizeBytes = extended.size === undefined ? options.sizeBytes : Number(extended.size)
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw damaged('a size is no number')
  return {
    path: extended.path ?? (prefix === '' ? name : `${prefix}/${name}`),
    kind,
    mode: numberAt(header, 100, 8) & 0o7777,
    userId: idOf(extended.uid) ?? numberAt(header, 108, 8),
    groupId: idOf(extended.gid) ?? numberAt(header, 116, 8),
    // Links say the size of what they lead to in some archives; it does not follow.
    sizeBytes: kind === 'file' ? sizeBytes : 0,
    modifiedSeconds: Math.floor(Number(extended.mtime ?? numberAt(header, 136, 12))) || 0,
    linkPath: extended.linkpath ?? untilZero(header.subarray(157, 257)),
  }
}

const kinds: Record<string, TarEntry['kind']> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'device',
}

/** Blocks of the size that is asked for, from chunks of any. */
function createByteReader(source: AsyncIterable<Buffer>) {
  const chunks = source[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const more = async (): Promise<boolean> => {
    const { value, done } = await chunks.next()
    if (done === true) return false
    rest = rest.length === 0 ? value : Buffer.concat([rest, value])
    return true
  }
  return {
    /** Null where nothing is left; throws where less is. */
    async take(sizeBytes: number): Promise<Buffer | null> {
      while (rest.length < sizeBytes) {
        if (await more()) continue
        if (rest.length === 0) return null
        throw damaged('it breaks off')
      }
      const taken = rest.subarray(0, sizeBytes)
      rest = rest.subarray(sizeBytes)
      return taken
    },
    async *pass(sizeBytes: number): AsyncGenerator<Buffer, void> {
      let left = sizeBytes
      while (left > 0) {
        if (rest.length === 0 && !(await more())) throw damaged('it breaks off')
        const taken = rest.subarray(0, left)
        rest = rest.subarray(taken.length)
        left -= taken.length
        if (taken.length > 0) yield taken
      }
    },
  }
}

function isHeader(header: Buffer): boolean {
  const told = numberAt(header, 148, 8)
  let sum = 8 * 0x20
  for (const [index, byte] of header.entries()) if (index < 148 || index >= 156) sum += byte
  return told === sum
}

/** Octal digits, or the GNU form: the first bit set, then the number itself. */
function numberAt(header: Buffer, from: number, length: number): number {
  const field = header.subarray(from, from + length)
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0)
    if (!Number.isSafeInteger(value)) throw damaged('a number is too large')
    return value
  }
  const digits = untilZero(field).trim()
  if (!/^[0-7]*$/.test(digits)) throw damaged('a number is none')
  return digits === '' ? 0 : Number.parseInt(digits, 8)
}

/** `length key=value\n`, the length counting the whole record (POSIX.1-2017, "pax Extended Header"). */
function recordsOf(text: Buffer): Record<string, string> {
  const records: Record<string, string> = {}
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(0x20, at)
    const length = Number(text.toString('latin1', at, space))
    if (space < 0 || !Number.isInteger(length) || length <= space - at || at + length > text.length) {
      throw damaged('an extended header is none')
    }
    const record = text.toString('utf8', space + 1, at + length - 1)
    const equals = record.indexOf('=')
    if (equals > 0 && known.includes(record.slice(0, equals)))
      records[record.slice(0, equals)] = record.slice(equals + 1)
    at += length
  }
  return records
}

const known = ['path', 'linkpath', 'size', 'uid', 'gid', 'mtime']

function idOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : null
}

function untilZero(text: Buffer): string {
  const end = text.indexOf(0)
  return text.toString('utf8', 0, end < 0 ? text.length : end)
}

function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / block) * block
}

function damaged(reason: string): FreeholdError {
  return new FreeholdError('invalid-input', `A layer of the image is no tar archive: ${reason}.`)
}
