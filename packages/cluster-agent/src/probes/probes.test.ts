import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createProber } from './prober.ts'
import { firstVerdict, nextLookInMs, nextVerdict, type Verdict } from './verdict.ts'

const signal = new AbortController().signal

function judge(looks: boolean[], everyMs: number): Verdict {
  const start = firstVerdict(0)
  return looks.reduce(
    (verdict, passing, index) => nextVerdict(verdict, { passing, message: '' }, (index + 1) * everyMs),
    start,
  )
}

test('two successes in a row pass, three failures in a row over two seconds fail, anything less says nothing new', () => {
  expect(judge([true], 150).health).toBe('unknown')
  expect(judge([true, true], 150).health).toBe('passing')
  expect(judge([true, false, true], 150).health).toBe('unknown')
  expect(judge([false, false, false], 1_000).health).toBe('failing')
  expect(judge([false, false, false], 150).health).toBe('unknown')
  expect(judge([true, true, false, false], 1_000).health).toBe('passing')
  expect(judge([true, true, false, false, false], 1_000).health).toBe('failing')
  expect(judge([false, false, false, true], 1_000).health).toBe('failing')
})

test('what passes has passed twice in a row since it last failed, and what fails has not passed since', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 30 }), (looks) => {
      const { health } = judge(looks, 1_000)
      const text = looks.map((passing) => (passing ? 'y' : 'n')).join('')
      const lastPass = text.lastIndexOf('yy')
      const lastFail = text.lastIndexOf('nnn')
      expect(health).toBe(lastPass < 0 && lastFail < 0 ? 'unknown' : lastPass > lastFail ? 'passing' : 'failing')
    }),
  )
})

test('young containers are asked quickly, passing ones calmly, and a failure brings the attention back', () => {
  const passing = judge([true, true], 150)
  expect(nextLookInMs(firstVerdict(0), 0)).toBeLessThan(500)
  expect(nextLookInMs(passing, 100_000)).toBe(5_000)
  expect(nextLookInMs(nextVerdict(passing, { passing: false, message: '' }, 1_000), 100_000)).toBe(1_000)
})

test('a server is passing by its status, a closed port and a silent one are not', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/silent') return
    response.writeHead(request.url === '/broken' ? 500 : 302).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const prober = createProber()
  const target = { address: '127.0.0.1', port, timeLimitMs: 500 }
  const ask = (path: string) => prober.http({ ...target, path }, signal)
  expect(await ask('/')).toMatchObject({ passing: true })
  expect(await ask('/broken')).toEqual({ passing: false, message: `/broken on port ${port} answered 500.` })
  expect(await ask('/silent')).toMatchObject({ passing: false, message: expect.stringContaining('within 0.5 s') })
  expect(await prober.tcp(target, signal)).toMatchObject({ passing: true })
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  expect(await prober.tcp(target, signal)).toMatchObject({
    passing: false,
    message: expect.stringContaining('nothing listens'),
  })
})
