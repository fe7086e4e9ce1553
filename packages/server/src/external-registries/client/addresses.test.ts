import { expect, test } from 'vitest'
import { createAddressRules } from './addresses.ts'

const publicHome = createAddressRules(new URL('https://192.0.2.1:5000/'))
const privateHome = createAddressRules(new URL('http://10.1.2.3/'))
const refused = { reason: 'refused-address' }

test.each([
  'https://127.0.0.1/',
  'https://10.0.0.1/',
  'https://192.168.1.1:8443/',
  'https://[::1]/',
  'https://[fd12::1]/',
  'https://[::ffff:10.0.0.1]/',
  'https://[64:ff9b::10.0.0.1]/',
  'https://[2002:7f00:1::]/',
  'https://169.254.169.254/',
  'http://198.51.100.7/',
  'ftp://198.51.100.7/',
])('a public registry does not lead us to %s', async (address) => {
  await expect(publicHome.check(new URL(address))).rejects.toMatchObject(refused)
})

test('a public registry may lead us to a public address, and to itself', async () => {
  await publicHome.check(new URL('https://198.51.100.7/'))
  await publicHome.check(new URL('https://[64:ff9b::198.51.100.7]/'))
  await publicHome.check(new URL('https://192.0.2.1:5000/v2/'))
})

test('a private registry may lead us within private networks, but never to link-local addresses', async () => {
  await privateHome.check(new URL('http://10.9.9.9/'))
  await expect(privateHome.check(new URL('http://169.254.169.254/'))).rejects.toMatchObject(refused)
  await expect(privateHome.check(new URL('http://[fe80::1]/'))).rejects.toMatchObject(refused)
  await expect(privateHome.check(new URL('http://[64:ff9b::169.254.169.254]/'))).rejects.toMatchObject(refused)
  await expect(privateHome.check(new URL('http://[2002:a9fe:a9fe::]/'))).rejects.toMatchObject(refused)
})

test('a name that resolves inside is refused when the socket is made, whatever it resolved to before', async () => {
  const look = (rules: typeof publicHome, url: URL) =>
    new Promise((resolve, reject) => {
      rules.lookupFor(url)(url.hostname, { all: true }, (error, found) => (error ? reject(error) : resolve(found)))
    })
  await expect(look(publicHome, new URL('https://localhost/'))).rejects.toMatchObject(refused)
  await expect(look(privateHome, new URL('http://localhost/'))).resolves.toBeTruthy()
})
