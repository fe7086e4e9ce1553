import { open } from 'node:fs/promises'
import { CliError, exitCodes } from '../exit-codes.ts'
import { type Io, inputLimitBytes, readStdin } from '../io.ts'

/** The text of a file, or of standard input for `-`, and what to call it in messages. */
export async function readSource(io: Io, file: string): Promise<{ text: string; name: string }> {
  if (file === '-') return { text: await readStdin(io), name: 'standard input' }
  return { text: await readTextFile(file), name: file }
}

/** Reads a file of at most `inputLimitBytes`; what stands in the way is said in a sentence. */
export async function readTextFile(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r')
    const { size } = await handle.stat()
    if (size > inputLimitBytes) throw new Error(`it is larger than ${inputLimitBytes} bytes`)
    return await handle.readFile('utf8')
  } catch (error) {
    throw new CliError(
      exitCodes.usage,
      `${file} cannot be read: ${(error as Error).message}`,
      'Check its name and that you may read it.',
    )
  }
}
