import { importsOf, isCode, servesTests, type TextFile } from './source.ts'

const longestFileLines = 400

/** Who may start programs besides tests, and why. Every one of them gives argument arrays. */
const startsPrograms: readonly { folder: string; why: string }[] = [
  { folder: 'tools/', why: 'setup, checks and benches run other tools' },
  { folder: 'test/system/', why: 'stories start the real parts' },
  { folder: 'packages/cli/bin/', why: 'the command starts itself on the pinned Node' },
  { folder: 'packages/device-agent/src/releases/host/', why: 'a host is updated and restarted by its own programs' },
  {
    folder: 'packages/server/src/child-program/',
    why: 'the local cluster agent and the local build worker are processes of their own',
  },
  { folder: 'packages/server/src/device-agent-archive/', why: 'npm fetches Node for the other architecture' },
  { folder: 'packages/device-agent/src/builtin.ts', why: 'the device agent verifies updates in a process of its own' },
  { folder: 'packages/build-worker/src/tool/', why: 'another image tool may be configured, which is a program' },
  { folder: 'packages/image-tool/src/tools/', why: 'images are made by programs that know their formats' },
  { folder: 'packages/server/src/run.test.ts', why: 'the process is tested from its start to its end' },
]

/** Words that belong to one workplace or to unfinished work. Written in parts, so that this file does not hold them. */
const forbiddenWords: readonly { word: RegExp; instead: string }[] = [
  {
    word: new RegExp(
      `\\b(${['TO', 'FIX', 'XX'].map((start, index) => start + ['DO', 'ME', 'X'][index]).join('|')})\\b`,
    ),
    instead: 'do it now, or leave it out',
  },
  { word: new RegExp(['registry', 'npmjs', 'org'].join('\\.')), instead: 'let npm choose its registry' },
  { word: new RegExp(['deb', 'debian', 'org'].join('\\.')), instead: 'let apt choose its mirror' },
  {
    word: new RegExp(`(?<![\\w.$}*])/(${['wo' + 'rk', 'ho' + 'me', 'Us' + 'ers'].join('|')})/\\w`),
    instead: 'use a path from the repository or a temporary folder',
  },
  { word: new RegExp(`@ts-(${['ignore', 'nocheck'].join('|')})`), instead: 'correct the type' },
]

/** Everything that is untidy about one file, each a sentence that says what to do. */
export function faultsOfTidiness(file: TextFile): string[] {
  const words = forbiddenWords
    .filter(({ word }) => word.test(file.text))
    .map(({ word, instead }) => `${file.path} contains "${word.exec(file.text)?.[0]}": ${instead}.`)
  return isCode(file)
    ? [...words, ...faultsOfLength(file), ...faultsOfPrograms(file), ...faultsOfModuleMocks(file)]
    : words
}

function faultsOfLength(file: TextFile): string[] {
  const lines = file.text.split('\n').length - 1
  if (lines <= longestFileLines) return []
  return [`${file.path} has ${lines} lines, more than ${longestFileLines}: split it by what changes together.`]
}

function faultsOfPrograms(file: TextFile): string[] {
  const programs = importsOf(file).filter(({ specifier }) => /^(node:)?child_process$/.test(specifier ?? ''))
  const faults = programs
    .filter(({ names }) => names.some((name) => name === 'exec' || name === 'execSync'))
    .map(() => `${file.path} imports exec, which runs a shell: use spawn with an argument array.`)
  if (new RegExp('shell' + ':\\s*(true|[\'"`])').test(file.text)) {
    faults.push(`${file.path} asks for a shell: leave the option out and give an argument array.`)
  }
  if (
    programs.length > 0 &&
    !servesTests(file.path) &&
    !startsPrograms.some(({ folder }) => file.path.startsWith(folder))
  ) {
    faults.push(
      `${file.path} starts programs: use the Engine API, or add the folder with its reason to startsPrograms in tools/architecture/tidy.ts.`,
    )
  }
  return faults
}

function faultsOfModuleMocks(file: TextFile): string[] {
  if (!new RegExp('\\bvi\\.(do)?' + 'mock\\(').test(file.text)) return []
  return [`${file.path} mocks a module: pass a fake in instead.`]
}
