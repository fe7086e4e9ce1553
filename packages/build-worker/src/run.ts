import { FreeholdError } from '@freehold/contracts'
import { CoreBuildServer } from './server.ts'

/** Runs the build worker until it is told to end. */
export async function run(): Promise<void> {
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
    say(error instanceof Error ? error.message : String(error))
    process.exitCode = error instanceof FreeholdError ? 2 : 1
    process.disconnect?.()
  }
}
