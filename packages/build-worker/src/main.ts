#!/usr/bin/env node
import { FreeholdError } from '@freehold/contracts'
import { CoreBuildServer } from './server.ts'

/**
 * The build worker's process. The first line on standard output is `{"listening":{"port":…}}`; everything else is said on
 * standard error. The first SIGTERM or SIGINT ends all jobs and removes their workspaces, a second one the process. So
 * does the end of a parent that started it with a channel.
 */
const say = (sentence: string) => void process.stderr.write(`${new Date().toISOString()} ${sentence}\n`)

try {
  const server = CoreBuildServer.fromEnv(process.env, { log: say })
  const { port } = await server.start()
  process.stdout.write(`${JSON.stringify({ listening: { port } })}\n`)
  let stopping: Promise<void> | undefined
  const stop = () => {
    if (stopping !== undefined) process.exit(130)
    stopping = server.stop().finally(() => process.disconnect?.())
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  process.once('disconnect', () => {
    stopping ??= server.stop()
  })
} catch (error) {
  say(error instanceof FreeholdError ? error.message : String(error))
  process.exitCode = 1
}
