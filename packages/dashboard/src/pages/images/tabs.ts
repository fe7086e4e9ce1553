/** The tabs of a repository's page, as its address names them. */
export const imageTabs = ['tags', 'manifests', 'push', 'policy'] as const
export type ImageTab = (typeof imageTabs)[number]
