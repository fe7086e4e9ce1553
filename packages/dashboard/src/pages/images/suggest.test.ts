import { expect, it } from 'vitest'
import { suggestRepository } from './suggest.ts'

it.each([
  ['docker.io/library/nginx:1.29', 'library/nginx'],
  ['nginx', 'nginx'],
  ['team/app:1.0', 'team/app'],
  ['registry.example.com:5000/team/app:1.0', 'team/app'],
  [`localhost/app@sha256:${'0'.repeat(64)}`, 'app'],
  [' ghcr.io/a/b/c ', 'a/b/c'],
  ['', ''],
])('%s is suggested to become %s', (source, expected) => {
  expect(suggestRepository(source)).toBe(expected)
})
