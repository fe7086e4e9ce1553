import { FreeholdError } from '@freehold/contracts'

const linuxLine = /^(\s*linux(?:efi|16)?\s+\S*\/casper\/\S*vmlinuz\S*)(.*)$/
const separator = '---'

/**
 * A menu of GRUB that installs unattended: every entry that boots the installer gets `installerArguments` before the
 * `---` and `systemArguments` after it (these are kept by the installed system too), the first entry starts after a
 * second. Arguments of an earlier rewriting go. Undefined where no entry boots the installer.
 */
export function rewriteGrubMenu(
  menu: string,
  { installerArguments, systemArguments }: { installerArguments: string[]; systemArguments: string[] },
): string | undefined {
  let entries = 0
  const lines = menu.split('\n').flatMap((line) => {
    if (/^\s*set\s+(timeout|default)=/.test(line)) return []
    const found = linuxLine.exec(line)
    if (found === null) return [line]
    entries += 1
    const [, start = '', rest = ''] = found
    const words = rest.split(/\s+/).filter((word) => word !== '' && !isOurs(word))
    const at = words.indexOf(separator)
    const before = at < 0 ? words : words.slice(0, at)
    const after = at < 0 ? [] : words.slice(at + 1)
    const all = [...before, ...installerArguments.map(quoteForGrub), separator, ...after]
    return [[start, ...all, ...systemArguments.filter((word) => !after.includes(word)).map(quoteForGrub)].join(' ')]
  })
  if (entries === 0) return undefined
  return ['set default=0', 'set timeout=1', ...lines].join('\n')
}

function isOurs(word: string): boolean {
  return word === 'autoinstall' || /^['"]?ds=nocloud/.test(word)
}

/** GRUB takes ; as the end of a command unless a backslash stands before it; nothing else of its own is let through. */
function quoteForGrub(word: string): string {
  if (!/^[A-Za-z0-9_.,:;/@%+=-]+$/.test(word)) {
    throw new FreeholdError('invalid-input', 'An argument of the kernel holds characters that GRUB gives a meaning.')
  }
  return word.replaceAll(';', '\\;')
}
