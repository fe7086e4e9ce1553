import { routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { age, bytes } from '../output/text.ts'
import { type Environment, handle } from '../runtime.ts'

/** Adds `scrub`: how far reading all blobs of the registry anew is, and beginning it now. */
export function addScrub(program: Command, environment: Environment): void {
  const command = program
    .command('scrub')
    .description('What reading all blobs of the registry anew found. `damaged-blobs list` names each.')
    .option('--run', 'begin to read them now; a pass under way goes on')
  handle<{ run?: boolean }>(command, environment, async ({ options, runtime: { api, io, output } }) => {
    const scrub = await (await api()).call(options.run === true ? routes.scrub.run : routes.scrub.get)
    if (output.json) {
      output.document(scrub)
      return undefined
    }
    const { running, lastPass, damagedBlobs } = scrub
    if (running !== null) {
      output.line(`Reading: ${counted(running)} so far, begun ${age(running.startedAt, io.now())} ago.`)
    } else if (options.run === true) output.line('Asked for: reading all blobs begins.')
    if (lastPass === null) output.line('No pass has ended yet.')
    else {
      const failures = lastPass.failures === 0 ? '' : `; ${lastPass.failures} could not be read, see the log`
      output.line(`Last pass: ${counted(lastPass)}, ended ${age(lastPass.finishedAt, io.now())} ago${failures}.`)
    }
    if (damagedBlobs === 0) output.line(output.style('green', 'No damage is known.'))
    else {
      output.line(
        output.style('red', `${damagedBlobs} damaged; \`freehold damaged-blobs list\` says what to push again.`),
      )
    }
    return undefined
  })
}

function counted({ checkedBlobs, checkedBytes }: { checkedBlobs: number; checkedBytes: number }): string {
  return `${checkedBlobs} ${checkedBlobs === 1 ? 'blob' : 'blobs'}, ${bytes(checkedBytes)}`
}
