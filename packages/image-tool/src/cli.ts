import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { FreeholdError } from '@freehold/contracts'
import { buildImage, missingProgramsFor, programsOf } from './build.ts'
import { loadConfig } from './config/load.ts'
import { configJsonSchema, type ImageConfig } from './config/schema.ts'
import type { Progress } from './context.ts'
import { packageOfProgram } from './tools/programs.ts'

const usage = `image-tool build --config FILE [--cache DIR] [--workdir DIR] [--json]
  Builds the image that FILE describes. What is done is told on standard error; the last line on standard
  output is the image as JSON: filename, contentType, sizeBytes, sha256, base, path.
  --cache DIR    base images kept between builds (IMAGE_TOOL_CACHE; default ~/.cache/freehold-images)
  --workdir DIR  temporary files (IMAGE_TOOL_WORKDIR; default the system's temporary folder)
  --json         tells progress and log as JSON lines on standard error
image-tool check --config FILE    checks FILE, downloads and builds nothing
image-tool programs               the programs it needs, their Debian packages, and which are missing
image-tool schema                 the JSON Schema of configurations
`

/** What a run of the command may touch; the process in earnest, a test otherwise. */
export interface CliIo {
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  out: (text: string) => void
  err: (text: string) => void
}

/** Runs the command line. Gives the exit code: 0 done, 1 failed, 2 wrong command or configuration, 130 cancelled. */
export async function runCli(argv: readonly string[], io: CliIo): Promise<number> {
  try {
    return await run(argv, io)
  } catch (error) {
    if (io.signal.aborted) {
      io.err('Cancelled; nothing was kept.\n')
      return 130
    }
    io.err(`${error instanceof Error ? error.message : String(error)}\n`)
    const isWrong = error instanceof FreeholdError && /^(invalid-input|invalid-json|not-found)$/.test(error.code)
    return isWrong || isArgumentError(error) ? 2 : 1
  }
}

async function run(argv: readonly string[], io: CliIo): Promise<number> {
  const [command, ...rest] = argv
  if (command === undefined || command === 'help' || command === '--help') {
    io.out(usage)
    return command === undefined ? 2 : 0
  }
  if (command === 'schema') io.out(configJsonSchema())
  else if (command === 'programs') return listPrograms(io)
  else if (command === 'build' || command === 'check') return withConfig(command, rest, io)
  else {
    io.err(`There is no command "${command}".\n\n${usage}`)
    return 2
  }
  return 0
}

async function withConfig(command: 'build' | 'check', argv: readonly string[], io: CliIo): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      config: { type: 'string' },
      cache: { type: 'string' },
      workdir: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.config === undefined) throw new FreeholdError('invalid-input', 'Say which configuration: --config FILE')
  const { config, folder } = await loadConfig(values.config)
  if (command === 'check') {
    io.out(`${values.config} is right.\n`)
    return 0
  }
  const built = await buildImage({
    config,
    folder,
    cacheFolder: values.cache ?? (io.env.IMAGE_TOOL_CACHE || join(homedir(), '.cache', 'freehold-images')),
    workFolder: values.workdir ?? (io.env.IMAGE_TOOL_WORKDIR || tmpdir()),
    signal: io.signal,
    onProgress: (progress) => io.err(values.json ? `${JSON.stringify({ progress })}\n` : textOf(progress)),
    onLog: (log) => io.err(values.json ? `${JSON.stringify({ log })}\n` : `${log}\n`),
  })
  io.out(`${JSON.stringify(built)}\n`)
  return 0
}

async function listPrograms(io: CliIo): Promise<number> {
  let isComplete = true
  for (const kind of Object.keys(programsOf) as ImageConfig['kind'][]) {
    const missing: readonly string[] = await missingProgramsFor(kind)
    isComplete &&= missing.length === 0
    for (const program of programsOf[kind]) {
      const state = missing.includes(program) ? 'missing' : 'installed'
      io.out(`${kind}\t${program}\t${packageOfProgram[program]}\t${state}\n`)
    }
  }
  return isComplete ? 0 : 1
}

function textOf({ phase, doneBytes, totalBytes }: Progress): string {
  if (doneBytes === 0) return `${phase} …\n`
  const total = totalBytes === null ? '' : ` of ${megabytes(totalBytes)}`
  return `${phase} ${megabytes(doneBytes)}${total} MB\n`
}

function megabytes(sizeBytes: number): number {
  return Math.round(sizeBytes / 1_000_000)
}

function isArgumentError(error: unknown): boolean {
  return error instanceof Error && ((error as NodeJS.ErrnoException).code ?? '').startsWith('ERR_PARSE_ARGS')
}
