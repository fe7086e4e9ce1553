import { type Setting, settings } from './settings.ts'

const opening = `# Settings

The control plane reads these environment variables at its start. A wrong value stops the start; every fault is named at
once. Variables that begin with \`FREEHOLD_\` or \`SERVEZONE_\` and do not stand here are named in a warning and ignored.

<!-- Made from packages/server/src/config/settings.ts by \`npm run generate\`. -->
`

/** The text of docs/settings.md. */
export function settingsReference(): string {
  return [opening, ...Object.values<Setting>(settings).map(section)].join('\n')
}

function section({ variable, meaning, unit, secret, default: preset }: Setting): string {
  return [
    `## \`${variable}\``,
    '',
    `${meaning}${secret === true ? ' Secret: never printed.' : ''}`,
    '',
    `- Values: ${unit ?? 'text'}`,
    `- Default: ${preset === null ? 'none' : `\`${preset}\``}`,
    '',
  ].join('\n')
}
