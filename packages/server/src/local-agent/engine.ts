/** Not imported by name, for the reason said in `http/door.ts`. */
const { request } = process.getBuiltinModule('node:http')

const answerLimitMs = 3_000

/** Whether a Docker engine answers `GET /_ping` there. `dockerHost`: `unix:///path`, `tcp://host:port`. */
export function engineAnswers(dockerHost: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({
      ...target(dockerHost),
      path: '/_ping',
      timeout: answerLimitMs,
      signal,
    })
    call.on('response', (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(false))
    call.on('close', () => resolve(false))
    call.end()
  })
}

function target(dockerHost: string): { socketPath: string } | { host: string; port: string } {
  if (dockerHost.startsWith('unix://')) return { socketPath: dockerHost.slice('unix://'.length) }
  const { hostname, port } = new URL(dockerHost.replace(/^tcp:/, 'http:'))
  return { host: hostname, port: port === '' ? '2375' : port }
}
