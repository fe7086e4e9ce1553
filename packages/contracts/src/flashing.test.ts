import { expect, test } from 'vitest'
import { flashingHint } from './flashing.ts'

test('an installer is written as it is, a packed image unpacked on the way', () => {
  const iso = flashingHint({ imageKind: 'ubuntu-iso', architecture: 'amd64', file: 'till.iso' })
  expect(iso.command).toBe("sudo dd if='till.iso' of=/dev/sdX bs=4M conv=fsync status=progress")
  expect(iso.outcome).toContain('erases the disk')
  expect(iso.programs).toEqual(['balenaEtcher'])
  const card = flashingHint({ imageKind: 'balena-raw', architecture: 'rpi', file: 'till.img.xz' })
  expect(card.command).toBe("xz -dc 'till.img.xz' | sudo dd of=/dev/sdX bs=4M conv=fsync status=progress")
  expect(card.programs).toEqual(['balenaEtcher', 'Raspberry Pi Imager'])
})

test('programs that cannot unpack the file are not named, and a quote in a name stays one', () => {
  const hint = flashingHint({ imageKind: 'balena-raw', architecture: 'rpi', file: "it's.img.zst" })
  expect(hint).toMatchObject({
    command: "zstd -dc 'it'\\''s.img.zst' | sudo dd of=/dev/sdX bs=4M conv=fsync status=progress",
    programs: [],
  })
})
