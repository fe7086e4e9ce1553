/** One file of an archive. Folders on the way need no entry of their own for what reads these archives. */
export interface TarFile {
  path: string
  content: Buffer | string
  /** Default 0o644. */
  mode?: number
}

const blockBytes = 512

/** An archive in the ustar format (POSIX.1-1988, "Data Interchange Format"); the same files give the same bytes. */
export function tar(files: readonly TarFile[]): Buffer {
  const blocks = files.flatMap((file) => {
    const content = Buffer.from(file.content)
    return [header(file, content.length), content, Buffer.alloc(padding(content.length))]
  })
  return Buffer.concat([...blocks, Buffer.alloc(2 * blockBytes)])
}

function header(file: TarFile, sizeBytes: number): Buffer {
  if (Buffer.byteLength(file.path) > 100) throw new Error(`The path ${file.path} is too long for this archive.`)
  const block = Buffer.alloc(blockBytes)
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
  block.write(file.path, 0, 'utf8')
  octal(file.mode ?? 0o644, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(sizeBytes, 124, 12)
  octal(0, 136, 12)
  block.write('        0', 148, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  const checksum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

function padding(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes
}
