import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandsOf, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
const { freehold, json, signIn } = commandsOf(() => directory)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
  await json(['clusters', 'create', 'east'])
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

test('services demand signatures by the key in a file, and digests', async () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const file = join(directory, 'cosign.pub')
  await writeFile(file, pem)
  await json(['services', 'create', 'web', '--cluster', 'east', '--signed-by', file])
  const signed = await json(['services', 'update', 'web', '--signed-by', file, '--signature-annotation', 'a=b=c'])
  expect(signed.data).toMatchObject({
    admission: { signedBy: [pem], annotations: { a: 'b=c' }, requireDigest: false },
  })
  expect(await freehold(['services', 'update', 'web', '--require-digest'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('is a tag'),
  })
  expect(await freehold(['services', 'update', 'web', '--no-admission', '--signed-by', file])).toMatchObject({
    code: 2,
  })
  await writeFile(file, pem.replaceAll('PUBLIC', 'PRIVATE'))
  const secret = await freehold(['services', 'update', 'web', '--signed-by', file])
  expect(secret).toMatchObject({ code: 2, stderr: expect.stringContaining('a public key in PEM') })
  expect(secret.stderr).not.toContain(pem.split('\n')[1])
  expect((await json(['services', 'update', 'web', '--no-admission'])).data).not.toHaveProperty('admission')
})
