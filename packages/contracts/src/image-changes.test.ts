import { expect, it } from 'vitest'
import { describeImageChange } from './image-changes.ts'

const digest = (character: string) => `sha256:${character.repeat(64)}`
const tag = (character: string) => ({
  data: { repository: 'workloads/web', name: 'latest', digest: digest(character), pushedBy: 'ada' },
})

it('says what was pushed, moved and deleted', () => {
  const say = (kind: string, operation: 'create' | 'update' | 'delete', before: unknown, after: unknown) =>
    describeImageChange({ kind, operation, before, after })
  expect(say('tag', 'create', null, tag('a'))).toBe('pushed workloads/web:latest (sha256:aaaaaaaaaaaa)')
  expect(say('tag', 'update', tag('a'), tag('b'))).toBe(
    'pushed workloads/web:latest (sha256:bbbbbbbbbbbb, was sha256:aaaaaaaaaaaa)',
  )
  expect(say('tag', 'delete', tag('a'), null)).toBe('deleted the tag workloads/web:latest (sha256:aaaaaaaaaaaa)')
  expect(say('manifest', 'create', null, tag('a'))).toBe('pushed the manifest workloads/web@sha256:aaaaaaaaaaaa')
  expect(say('manifest', 'delete', tag('a'), null)).toBe('deleted the manifest workloads/web@sha256:aaaaaaaaaaaa')
  expect(say('blob-link', 'create', null, tag('a'))).toBe('brought the blob sha256:aaaaaaaaaaaa into workloads/web')
})

it('leaves everything else to others', () => {
  expect(
    describeImageChange({ kind: 'service', operation: 'create', before: null, after: { data: {} } }),
  ).toBeUndefined()
  expect(describeImageChange({ kind: 'tag', operation: 'create', before: null, after: null })).toBeUndefined()
  expect(describeImageChange({ kind: 'condemned', operation: 'create', before: null, after: tag('a') })).toBeUndefined()
})
