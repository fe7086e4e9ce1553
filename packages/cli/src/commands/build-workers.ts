import { routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { type Environment, handle } from '../runtime.ts'

/** Adds `build-workers list`; they are asked, not stored, so that there is no more to do with them. */
export function addBuildWorkers(program: Command, environment: Environment): void {
  const workers = program
    .command('build-workers')
    .alias('build-worker')
    .summary('who builds images')
    .description('The workers that build images. The setting corebuildWorkersJson says which there are.')
  const command = workers.command('list').alias('ls').description('Ask every build worker how it stands.')
  handle(command, environment, async ({ runtime: { api, output } }) => {
    const { items } = await (await api()).call(routes.buildWorkers.list)
    if (output.json) {
      output.document(items)
      return undefined
    }
    if (items.length === 0) {
      output.note('There are no build workers. `freehold settings set corebuildWorkersJson --value-stdin` names some.')
      return undefined
    }
    output.table({
      columns: ['WORKER', 'STATE', 'JOBS', 'KINDS', 'FOR', 'CORES', 'MEMORY', 'MESSAGE'],
      rows: items.map((worker) => [
        worker.id,
        worker.state,
        String(worker.runningJobs),
        worker.imageKinds.join(' '),
        worker.architectures.join(' '),
        worker.cpuCores === null ? '' : String(worker.cpuCores),
        worker.memoryGb === null ? '' : `${worker.memoryGb} GB`,
        worker.message,
      ]),
    })
    return undefined
  })
}
