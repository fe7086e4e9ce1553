import type { Retention } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { Data } from '../input/assign.ts'
import { collect, wholeNumber } from './values.ts'

export interface RetentionOptions {
  keepLast?: number
  keepTags?: string[]
  keepDays?: number
  untaggedDays?: number
}

/** Flags for retention rules. */
export function addRetentionFlags(command: Command): Command {
  return command
    .addOption(new Option('--keep-last <number>', 'keep this many tags, those pushed last').argParser(wholeNumber(1)))
    .option('--keep-tags <pattern>', 'keep tags like this: * any text, ? any one character (repeatable)', collect)
    .addOption(new Option('--keep-days <number>', 'keep tags pushed within this many days').argParser(wholeNumber(1)))
    .addOption(
      new Option(
        '--untagged-days <number>',
        'remove manifests that nothing has needed for this many days; without it they stay',
      ).argParser(wholeNumber(1)),
    )
}

/** The rules the flags say, the four together; undefined where none was given. */
export function readRetentionFlags(options: RetentionOptions): Retention | undefined {
  const rules: Retention = {
    ...(options.keepLast === undefined ? {} : { keepLastTags: options.keepLast }),
    ...(options.keepTags === undefined ? {} : { keepTags: options.keepTags }),
    ...(options.keepDays === undefined ? {} : { keepYoungerThanDays: options.keepDays }),
    ...(options.untaggedDays === undefined ? {} : { deleteUntaggedAfterDays: options.untaggedDays }),
  }
  return Object.keys(rules).length === 0 ? undefined : rules
}

/** Flags of `images create` and `images update`: the rules, and on update how to be rid of one's own. */
export function addImageRetentionFlags(command: Command, verb: 'create' | 'update'): void {
  addRetentionFlags(command)
  const rules = ['keepLast', 'keepTags', 'keepDays', 'untaggedDays']
  command.addOption(
    new Option('--keep-all', 'no rule: keep all tags and manifests, whatever the default of the server says').conflicts(
      rules,
    ),
  )
  if (verb === 'create') return
  command.addOption(
    new Option('--default-retention', "forget the image's own rules; the default of the server holds").conflicts([
      ...rules,
      'keepAll',
    ]),
  )
}

/** What they say as a part of an image's `data`; for update, rules that are not named go. */
export function readImageRetentionFlags(given: object, verb: 'create' | 'update'): Data {
  const options = given as RetentionOptions & { keepAll?: boolean; defaultRetention?: boolean }
  if (options.defaultRetention === true) return { retention: null }
  const rules = options.keepAll === true ? {} : readRetentionFlags(options)
  if (rules === undefined) return {}
  const none = { keepLastTags: null, keepTags: null, keepYoungerThanDays: null, deleteUntaggedAfterDays: null }
  return { retention: verb === 'update' ? { ...none, ...rules } : rules }
}
