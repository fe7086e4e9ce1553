import { Readable } from 'node:stream'
import type { Command, Option } from 'commander'
import { exitCodeMeanings, exitCodes } from './exit-codes.ts'
import type { Io } from './io.ts'
import { createProgram } from './program.ts'
import type { Connect } from './runtime.ts'

const introduction = `# The \`freehold\` command

<!-- Generated from packages/cli by \`npm run generate\`; do not edit. -->

In the repository it is run as \`npm run --silent freehold -- COMMAND\`, or by \`packages/cli/src/main.ts\` itself.

- **Nouns and verbs.** \`freehold services list\`, \`freehold service get web\`: the plural or the singular, then what to do. A thing is named
  by its name or its id; a revision as \`web/3\`; a rollout by its id, or by a service for the newest.
- **Data on standard output, everything said besides on standard error.** With \`--json\`: one JSON document; \`watch\` and \`logs\` print one a line.
  A failure is then JSON too, on standard error: \`{"error":{"code","message","details","action","exitCode"}}\`.
- **Secrets** come from questions on a terminal, from standard input or from the environment, never from the command line.
- **Environment:** \`FREEHOLD_URL\` and \`FREEHOLD_TOKEN\` come before the context; \`XDG_CONFIG_HOME\` says where contexts are kept
  (\`freehold/config.json\`, readable by its owner only); \`NO_COLOR\` turns colours off.
- **Completion:** \`source <(freehold completion bash)\`, likewise zsh; \`freehold completion fish | source\`.
`

/** The reference of all commands as Markdown, read off the command itself: docs/cli.md. */
export function cliReference(): string {
  const program = createProgram({ ...nowhere(), exit: { code: exitCodes.ok }, said: [] })
  const global = ['## Everywhere', '', ...program.options.filter((option) => !option.hidden).map(optionLine), '']
  const codes = ['## Exit codes', '', ...exitCodeLines(), '']
  const commands = program.commands
    .filter((command) => !command.name().startsWith('_'))
    .flatMap((command) => section(command, '##'))
  return [introduction, ...global, ...codes, ...commands].join('\n')
}

function section(command: Command, heading: string): string[] {
  const lines = [`${heading} ${pathOf(command)}`, '', command.description(), '']
  if (command.commands.length > 0) {
    return [...lines, ...command.commands.flatMap((child) => section(child, `${heading}#`))]
  }
  lines.push('```', `${pathOf(command)} ${command.usage()}`.trimEnd(), '```', '')
  const details = [
    ...command.registeredArguments.map((argument) => `- \`${argument.name()}\`: ${argument.description}`),
    ...command.options.filter((option) => !option.hidden).map(optionLine),
  ]
  return details.length === 0 ? lines : [...lines, ...details, '']
}

function optionLine(option: Option): string {
  const choices = option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`
  const initial = option.defaultValue === undefined || option.negate ? '' : ` (default ${String(option.defaultValue)})`
  return `- \`${option.flags}\`: ${option.description}${choices}${initial}`
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`
}

function exitCodeLines(): string[] {
  return Object.entries(exitCodeMeanings).map(([code, meaning]) => `- \`${code}\`: ${meaning}`)
}

/** A world without a terminal and without a server: for what only looks at the commands. */
export function nowhere(): { io: Io; connect: Connect } {
  const io: Io = {
    out: () => {},
    error: () => {},
    stdin: Readable.from([]),
    environment: {},
    terminal: { stdin: false, stdout: false, stderr: false },
    columns: undefined,
    prompts: null,
    signal: new AbortController().signal,
    now: () => new Date(0),
  }
  const connect = () => {
    throw new Error('There is no server here.')
  }
  return { io, connect }
}
