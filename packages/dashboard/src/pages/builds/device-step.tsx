import type { BuildArchitecture, ImageKind } from '@freehold/contracts'
import type { DraftProps } from '../../components/field.tsx'
import { RadioCards } from '../../components/radio-cards.tsx'
import type { BuildDraft } from './draft.ts'

const devices: { imageKind: ImageKind; architecture: BuildArchitecture; label: string; hint: string }[] = [
  {
    imageKind: 'ubuntu-iso',
    architecture: 'amd64',
    label: 'PC or server',
    hint: 'x86, 64-bit. A stick that installs Ubuntu Server by itself, and erases the disk of the machine.',
  },
  {
    imageKind: 'ubuntu-iso',
    architecture: 'arm64',
    label: 'ARM server',
    hint: 'ARM, 64-bit, with UEFI. A stick that installs Ubuntu Server by itself, and erases the disk of the machine.',
  },
  {
    imageKind: 'balena-raw',
    architecture: 'rpi',
    label: 'Raspberry Pi',
    hint: 'A disk image of balenaOS or of a system derived from it, for the card or stick it starts from.',
  },
  {
    imageKind: 'balena-raw',
    architecture: 'amd64',
    label: 'Other x86 device',
    hint: 'A disk image of balenaOS or of a system derived from it, x86, 64-bit; flashers too.',
  },
  {
    imageKind: 'balena-raw',
    architecture: 'arm64',
    label: 'Other ARM device',
    hint: 'A disk image of balenaOS or of a system derived from it, ARM, 64-bit; flashers too.',
  },
]
const keyOf = ({ imageKind, architecture }: { imageKind: string; architecture: string }) =>
  `${imageKind}/${architecture}`

export function DeviceStep({ draft, set }: DraftProps<BuildDraft>) {
  return (
    <RadioCards
      legend="What kind of device is it?"
      value={keyOf(draft)}
      choices={devices.map((device) => ({ value: keyOf(device), label: device.label, hint: device.hint }))}
      onChange={(value) => {
        const chosen = devices.find((device) => keyOf(device) === value)
        // A base image is for one kind of device.
        if (chosen !== undefined) {
          set({ imageKind: chosen.imageKind, architecture: chosen.architecture, baseImageId: '' })
        }
      }}
    />
  )
}

/** `Raspberry Pi`, as the first step calls it. */
export function deviceName(of: { imageKind: ImageKind; architecture: BuildArchitecture }): string {
  return devices.find((device) => keyOf(device) === keyOf(of))?.label ?? of.architecture
}
