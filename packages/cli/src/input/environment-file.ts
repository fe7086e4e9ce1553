import { CliError, exitCodes } from '../exit-codes.ts'

/**
 * Reads KEY=value lines as `docker run --env-file` does: empty lines and lines beginning with # are skipped, the
 * value is everything after the first =, unchanged. A fault names file and line, never the value.
 */
export function parseEnvironmentFile(text: string, file: string): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const at = line.indexOf('=')
    const name = at < 0 ? '' : line.slice(0, at).trim()
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new CliError(exitCodes.usage, `${file}:${index + 1} is not written KEY=value.`, 'Correct that line.')
    }
    variables[name] = line.slice(at + 1)
  }
  return variables
}
