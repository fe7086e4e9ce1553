import { createServer } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import {
  loadImage,
  run,
  screenshots,
  sidewaysOverflow,
  startBrowser,
  startSwarmNodes,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'

const running: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of running.splice(0).reverse()) await part.stop()
})
function keep<T extends { stop(): Promise<void> }>(part: T): T {
  running.push(part)
  return part
}

test('three nodes make one Swarm: tasks spread, a cut node is seen as down and comes back, and so is a dead one', async () => {
  const linksBefore = await run(['ip', '-brief', 'link'])
  const swarm = keep(await startSwarmNodes(3))
  const [manager, second, third] = swarm.nodes
  if (manager === undefined || second === undefined || third === undefined)
    throw new Error('There are not three nodes.')
  const states = async () => {
    const nodes: { Status?: { State?: string; Addr?: string } }[] = await manager.engine.listNodes()
    return Object.fromEntries(nodes.map((node) => [node.Status?.Addr, node.Status?.State]))
  }
  await waitFor(async () => Object.values(await states()).every((state) => state === 'ready'), {
    what: 'all nodes ready',
  })

  const image = await webImage({ name: 'web:1', version: 'version 1' })
  for (const node of swarm.nodes) await loadImage(node.engine, image)
  await manager.engine.createService({
    Name: 'web',
    TaskTemplate: { ContainerSpec: { Image: 'web:1' } },
    Mode: { Global: {} },
    EndpointSpec: {
      Mode: 'dnsrr',
      Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: 8080, PublishMode: 'host' }],
    },
  })
  for (const node of swarm.nodes) {
    await waitFor(() => answers(`http://${node.address}:8080/`), { what: `the task of ${node.name} to answer` })
  }

  await second.cut()
  await waitFor(async () => (await states())[second.address] === 'down', { what: 'the cut node to be seen as down' })
  expect(await answers(`http://${second.address}:8080/`).catch(() => false)).toBe(false)
  await second.mend()
  await waitFor(async () => (await states())[second.address] === 'ready', { what: 'the mended node to be ready' })

  await third.powerOff()
  await waitFor(async () => (await states())[third.address] === 'down', { what: 'the dead node to be seen as down' })

  await swarm.stop()
  expect(await run(['ip', '-brief', 'link'])).toBe(linksBefore)
})

test('the browser shows a page in every look', async () => {
  const server = createServer((_request, response) => {
    response
      .setHeader('content-type', 'text/html')
      .end('<!doctype html><meta name=viewport content="width=device-width"><h1>Hello</h1>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = await temporaryFolder('looks')
  running.push({ stop: folder.remove }, { stop: async () => void server.close() })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The page has no address.')

  const browser = keep(await startBrowser())
  const page = await browser.newPage({ width: 390, scheme: 'dark' })
  await page.goto(`http://127.0.0.1:${address.port}/`)
  expect(await page.getByRole('heading').textContent()).toBe('Hello')
  expect(await sidewaysOverflow(page)).toBe(0)
  expect(await screenshots(page, { name: 'hello', folder: folder.path })).toHaveLength(4)
})

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1_000) })
  return (await response.text()) === 'version 1\n'
}
