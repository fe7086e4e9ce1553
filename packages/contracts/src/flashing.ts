import type { ImageKind } from './build-workers.ts'

/** How an image gets onto a stick, a card or a disk: for people to read. Nothing of ours ever runs it. */
export interface FlashingHint {
  /** For a terminal; the device in it is one that does not exist. */
  command: string
  /** Programs with a window that take the file as it is. */
  programs: string[]
  /** What happens then, and what is lost by it. */
  outcome: string
}

const write = 'sudo dd of=/dev/sdX bs=4M conv=fsync status=progress'

/** Hints for an image of this kind in this file. `.zst` is unpacked first by those who use a program with a window. */
export function flashingHint(image: { imageKind: ImageKind; architecture: string; file: string }): FlashingHint {
  const { imageKind, architecture, file } = image
  const quoted = `'${file.replaceAll("'", "'\\''")}'`
  const packed = /\.(xz|zst|gz)$/.exec(file)?.[1]
  const unpack = { xz: 'xz -dc', zst: 'zstd -dc', gz: 'gzip -dc' }
  const command =
    packed === undefined
      ? `${write.replace('of=', `if=${quoted} of=`)}`
      : `${unpack[packed as keyof typeof unpack]} ${quoted} | ${write}`
  const programs = ['balenaEtcher', ...(architecture === 'rpi' ? ['Raspberry Pi Imager'] : [])]
  return { command, programs: packed === 'zst' ? [] : programs, outcome: outcomes[imageKind] }
}

const outcomes: Record<ImageKind, string> = {
  'ubuntu-iso':
    'Write it to a USB stick and start the machine from it: it installs by itself, and erases the disk of that machine.',
  'balena-raw':
    'Write it to the card, stick or disk that the device starts from; all that is on it is lost. The device enrols when it has started.',
}
