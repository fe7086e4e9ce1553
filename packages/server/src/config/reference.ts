import { type Setting, settings } from './settings.ts'

/** The text of docs/settings.md. */
export function settingsReference(): string {
  const rows = Object.values<Setting>(settings).map(
    ({ variable, meaning, unit, secret, default: preset }) =>
      `| \`${variable}\` | ${cell(meaning)}${secret === true ? ' Secret: never printed.' : ''} | ${cell(unit ?? 'text')} | ${
        preset === null ? 'none' : `\`${cell(preset)}\``
      } |`,
  )
  return [
    '# Settings',
    '',
    'The control plane reads these environment variables at its start. A wrong value stops the start; every fault is named at once.',
    'Variables that begin with `FREEHOLD_` or `SERVEZONE_` and are not in this table are named in a warning and ignored.',
    '',
    '| Variable | Meaning | Values | Default |',
    '|---|---|---|---|',
    ...rows,
    '',
    '<!-- Generated from packages/server/src/config/settings.ts by `npm run generate`. -->',
    '',
  ].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
