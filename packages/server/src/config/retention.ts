import type { Retention } from '@freehold/contracts'
import type { Config } from './read.ts'

type RetentionSettings = Pick<
  Config,
  'registryKeepLastTags' | 'registryKeepTags' | 'registryKeepDays' | 'registryUntaggedDays'
>

/** The retention rules of repositories without any of their own; null where no setting says anything. */
export function retentionOf(config: RetentionSettings): Retention | null {
  const rules = {
    keepLastTags: config.registryKeepLastTags,
    keepTags: config.registryKeepTags,
    keepYoungerThanDays: config.registryKeepDays,
    deleteUntaggedAfterDays: config.registryUntaggedDays,
  }
  const given = Object.entries(rules).filter(([, value]) => value !== undefined)
  return given.length === 0 ? null : (Object.fromEntries(given) as Retention)
}
