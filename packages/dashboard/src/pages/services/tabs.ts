/** The tabs of a service's page, as its address names them. */
export const serviceTabs = ['overview', 'revisions', 'logs', 'settings'] as const
export type ServiceTab = (typeof serviceTabs)[number]
