import { memberStates, type releaseMemberSchema, type releaseRolloutInput, routes } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { AnyResource, Api } from '../api.ts'
import { toldOf } from '../nouns/actions.ts'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { collect, wholeNumber } from '../nouns/values.ts'
import { age } from '../output/text.ts'
import { watchReleaseRollout } from '../release-rollout.ts'
import { type Environment, handle, operand } from '../runtime.ts'
import { parsePhase, parseWindow } from './release-phases.ts'

type Member = z.output<typeof releaseMemberSchema>

const rolloutArgument = 'id, or a channel for its newest'

/** Adds what `release-rollouts` has besides the commands made from the contract. */
export function addReleaseRolloutCommands(program: Command, environment: Environment): void {
  const rollouts = program.commands.find((command) => command.name() === 'release-rollouts')
  if (rollouts === undefined) throw new Error('The contract has no release rollouts.')
  addCreate(rollouts, environment)
  addAbort(rollouts, environment)
  addWatch(rollouts, environment)
  addMembers(rollouts, environment)
}

interface CreateOptions {
  phase?: string[]
  window?: string
  soakSeconds?: number
  force?: boolean
  preview?: boolean
}

function addCreate(parent: Command, environment: Environment): void {
  const command = parent
    .command('create')
    .description('Begin to bring a release to the devices of a channel, phase by phase.')
    .argument('<channel>', 'name or id')
    .argument('<release>', 'product/version, of a host baseos/device-type/version, or id')
    .option(
      '--phase <phase>',
      'how many devices, and on which terms: `5%`, `20` or `rest`, then any of `group=NAME`, `success=90`, `errors=5`, `soak=MINUTES`, `approval`, with commas between (repeatable, in order; the last takes all that are left; none: everyone at once)',
      collect,
    )
    .option(
      '--window <[days@]from-to>',
      'when devices may begin, by their own time: `22:00-05:00`, `sat,sun@08:00-12:00`',
    )
    .addOption(
      new Option(
        '--soak-seconds <number>',
        'how long a device watches the release before it says it succeeded',
      ).argParser(wholeNumber(0)),
    )
    .option('--force', 'also while an application holds an update lock')
    .option('--preview', 'only show how many devices each phase would have')
  handle<CreateOptions>(command, environment, async ({ operands, options, runtime: { api: open, output } }) => {
    const api = await open()
    const channel = await find(api, findNoun(listNouns(), 'channels'), operand(operands, 0))
    const release = await find(api, findNoun(listNouns(), 'releases'), operand(operands, 1))
    const body = { data: await inputOf(api, { channel, release, options }) }
    if (options.preview === true) {
      const preview = await api.call(routes.releaseRollouts.preview, { body })
      if (output.json) output.document(preview)
      else {
        const rows = preview.phases.map((devices, phase) => [String(phase + 1), String(devices)])
        output.table({ columns: ['PHASE', 'DEVICES'], rows })
      }
      return undefined
    }
    const created = await api.call(routes.releaseRollouts.create, { body })
    if (output.json) output.document(created)
    else {
      output.line(`Rolling out to ${created.data.memberCount} devices: ${created.id}.`)
      output.note(`→ \`freehold release-rollouts watch ${created.id}\` follows it.`)
    }
    return undefined
  })
}

async function inputOf(
  api: Api,
  { channel, release, options }: { channel: AnyResource; release: AnyResource; options: CreateOptions },
): Promise<z.input<typeof releaseRolloutInput>> {
  const phases: NonNullable<z.input<typeof releaseRolloutInput>['phases']> = []
  for (const text of options.phase ?? []) {
    const { group, ...phase } = parsePhase(text)
    const named = group === undefined ? undefined : await find(api, findNoun(listNouns(), 'device-groups'), group)
    phases.push({ ...phase, ...(named === undefined ? {} : { groupId: named.id }) })
  }
  return {
    channelId: channel.id,
    releaseId: release.id,
    phases,
    ...(options.window === undefined ? {} : { window: parseWindow(options.window) }),
    ...(options.soakSeconds === undefined ? {} : { soakSeconds: options.soakSeconds }),
    ...(options.force === undefined ? {} : { force: options.force }),
  }
}

function addAbort(parent: Command, environment: Environment): void {
  const command = parent
    .command('abort')
    .description('End a rollout: nobody further begins, and who has the release keeps it.')
    .argument('<release-rollout>', rolloutArgument)
    .option('--revert', 'every device goes back to the release it had')
  handle<{ revert?: boolean }>(command, environment, async ({ operands, options, runtime: { api: open, output } }) => {
    const api = await open()
    const { id } = await find(api, findNoun(listNouns(), 'release-rollouts'), operand(operands, 0))
    const body = { devices: options.revert === true ? ('revert' as const) : ('keep' as const) }
    const rollout = await api.call(routes.releaseRollouts.abort, { params: { id }, body })
    if (output.json) output.document(rollout)
    else output.line(toldOf(rollout, findNoun(listNouns(), 'release-rollouts'), 'abort'))
    return undefined
  })
}

function addWatch(parent: Command, environment: Environment): void {
  const command = parent
    .command('watch')
    .description('Follow a rollout until it succeeded (exit 0), or was stopped or ended otherwise (exit 1).')
    .argument('<release-rollout>', rolloutArgument)
  handle(command, environment, async ({ operands, runtime }) => {
    const api = await runtime.api()
    const { id } = await find(api, findNoun(listNouns(), 'release-rollouts'), operand(operands, 0))
    return watchReleaseRollout(runtime, { api, id })
  })
}

interface MembersOptions {
  state?: (typeof memberStates)[number]
  limit?: number
}

function addMembers(parent: Command, environment: Environment): void {
  const command = parent
    .command('members')
    .description('The devices of a rollout, and where each stands by its own report.')
    .argument('<release-rollout>', rolloutArgument)
    .addOption(new Option('--state <state>', 'only those in this state').choices(memberStates))
    .addOption(new Option('--limit <number>', 'stop after this many').argParser(wholeNumber(1)))
  handle<MembersOptions>(command, environment, async ({ operands, options, runtime: { api: open, output, io } }) => {
    const api = await open()
    const { id } = await find(api, findNoun(listNouns(), 'release-rollouts'), operand(operands, 0))
    const members = await membersOf(api, id, options)
    if (output.json) {
      output.document(members)
      return undefined
    }
    if (members.length === 0) {
      output.note('There are no such devices in this rollout.')
      return undefined
    }
    output.table({
      columns: ['DEVICE', 'PHASE', 'STATE', 'SINCE', 'MESSAGE', 'ID'],
      rows: members.map(({ name, phase, state, at, message, deviceId }) => [
        name,
        String(phase + 1),
        state,
        at === null ? '' : age(at, io.now()),
        message,
        deviceId,
      ]),
    })
    return undefined
  })
}

async function membersOf(api: Api, id: string, { state, limit }: MembersOptions): Promise<Member[]> {
  const members: Member[] = []
  let cursor: string | null = null
  do {
    const query = { limit: 500, ...(state === undefined ? {} : { state }), ...(cursor === null ? {} : { cursor }) }
    const page: { items: Member[]; nextCursor: string | null } = await api.call(routes.releaseRollouts.members, {
      params: { id },
      query,
    })
    members.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null && members.length < (limit ?? Number.POSITIVE_INFINITY))
  return members.slice(0, limit)
}
