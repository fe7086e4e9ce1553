import type { Device } from '@freehold/contracts'

/** What about a device needs a person, in two words each. */
export function marksOf({ data, status }: Pick<Device, 'data' | 'status'>): string[] {
  return [
    ...(data.access === 'waiting' ? ['approve it'] : []),
    ...(status.clone === null ? [] : ['two devices']),
    ...(status.claim === null ? [] : ['claimed']),
    ...(data.readoptUntil === null ? [] : ['may come back']),
  ]
}
