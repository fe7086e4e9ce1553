import { argon2Sync } from 'node:crypto'
import { expect, test } from 'vitest'
import { createPasswords } from './password.ts'

const passwords = createPasswords()

test('a hash says how it was made and verifies its password alone', async () => {
  const hash = await passwords.hash('correct horse battery')
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  expect(await passwords.verify('correct horse battery', hash)).toBe(true)
  expect(await passwords.verify('correct horse batterz', hash)).toBe(false)
  expect(await passwords.hash('correct horse battery')).not.toBe(hash)
})

test('composed and decomposed letters are the same password', async () => {
  const hash = await passwords.hash('caf\u00e9 au lait please')
  expect(await passwords.verify('cafe\u0301 au lait please', hash)).toBe(true)
})

test('without a hash no password fits', async () => {
  expect(await passwords.verify('anything', undefined)).toBe(false)
})

test('hashes made with other parameters still verify', async () => {
  const salt = Buffer.alloc(16, 7)
  const tag = argon2Sync('argon2id', {
    message: 'older password',
    nonce: salt,
    memory: 64,
    passes: 1,
    parallelism: 1,
    tagLength: 16,
  })
  const base64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  const hash = `$argon2id$v=19$m=64,t=1,p=1$${base64(salt)}$${base64(tag)}`
  expect(await passwords.verify('older password', hash)).toBe(true)
})

test('a hash of another kind is an error, not a wrong password', async () => {
  await expect(passwords.verify('x', '$2b$10$abc')).rejects.toThrow(/argon2id/)
})

test('too many at once are refused, not queued without end', async () => {
  const results = await Promise.allSettled(Array.from({ length: 80 }, () => createLimited()))
  expect(results.filter((result) => result.status === 'rejected').length).toBe(80 - 66)
  for (const result of results) if (result.status === 'rejected') expect(result.reason.code).toBe('unavailable')
})

const cheap = (() => {
  const salt = Buffer.alloc(16, 1)
  const tag = argon2Sync('argon2id', { message: 'x', nonce: salt, memory: 8, passes: 1, parallelism: 1, tagLength: 16 })
  return `$argon2id$v=19$m=8,t=1,p=1$${salt.toString('base64').replace(/=+$/, '')}$${tag.toString('base64').replace(/=+$/, '')}`
})()

function createLimited(): Promise<boolean> {
  return passwords.verify('x', cheap)
}
