/** The steps of the form for a build; they stand in its address. */
export const buildSteps = ['device', 'base', 'network', 'access', 'labels', 'review'] as const
export type BuildStep = (typeof buildSteps)[number]

export const stepWords: Record<BuildStep, string> = {
  device: 'Device',
  base: 'Base image',
  network: 'Network',
  access: 'Access',
  labels: 'Group and labels',
  review: 'Review',
}
