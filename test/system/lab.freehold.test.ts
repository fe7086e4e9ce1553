import { existsSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { labAdministrator, startFreehold, startService } from './lab/index.ts'

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop()
})

test('a control plane starts, dies by KILL, comes back on the same data, and leaves no folder behind', async () => {
  const freehold = await startFreehold()
  running.push(freehold)
  const health = () => fetch(`${freehold.url}/health`).then((response) => response.status)
  const signIn = async () => {
    const response = await fetch(`${freehold.url}/api/v1/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(labAdministrator()),
    })
    return response.status
  }
  expect(await health()).toBe(200)
  expect(await signIn()).toBe(200)
  expect(freehold.logs()).not.toContain(labAdministrator().password)

  await freehold.kill9()
  await expect(health()).rejects.toThrow()
  await freehold.restart()
  expect(await signIn()).toBe(200)

  await freehold.stop()
  await expect(health()).rejects.toThrow()
  expect(existsSync(freehold.dataDirectory)).toBe(false)
})

test('a program that ends before it is ready is told with what it wrote', async () => {
  const env = { SERVEZONE_PORT: 'not-a-port' }
  await expect(startFreehold({ env })).rejects.toThrow(/SERVEZONE_PORT/)
  await expect(
    startService({ entry: 'packages/server/src/nowhere.ts', env: {}, ready: async () => false }),
  ).rejects.toThrow(/ended at once/)
})
