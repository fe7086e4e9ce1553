import { nameSchema } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { nameOfFile } from './upload.ts'

test.each([
  ['2024-11-19-Raspios_lite.img.xz', '2024-11-19-raspios-lite'],
  ['ubuntu-24.04.1-live-server-amd64.iso', 'ubuntu-24-04-1-live-server-amd64'],
  [`${'a'.repeat(39)}_b.img`, 'a'.repeat(39)],
])('%s is called %s', (file, name) => {
  expect(nameOfFile(file)).toBe(name)
  expect(nameSchema.safeParse(name).success).toBe(true)
})
