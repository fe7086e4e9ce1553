import { type Device, type DeviceSpan, deviceData, routes } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import { stringify } from 'yaml'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { wholeNumber } from '../nouns/values.ts'
import { age, plain } from '../output/text.ts'
import { type Environment, handle, operand } from '../runtime.ts'

/** Adds what is done with a device besides the commands made from the contract, and who belongs to a group of them. */
export function addDeviceCommands(program: Command, environment: Environment): void {
  const devices = program.commands.find((command) => command.name() === 'devices')
  if (devices === undefined) throw new Error('The contract has no devices.')
  addReport(devices, environment)
  addRename(devices, environment)
  addReleases(devices, environment)
  addAction(devices, environment, {
    verb: 'request-update',
    kind: 'update',
    about: 'Ask a device to look for its update now; it hears of it with its next heartbeat.',
  })
  addAction(devices, environment, {
    verb: 'reboot',
    kind: 'reboot',
    about: 'Ask a device to restart; it hears of it with its next heartbeat.',
  })
  const groups = program.commands.find((command) => command.name() === 'device-groups')
  if (groups === undefined) throw new Error('The contract has no device groups.')
  addMembers(groups, environment)
}

function addReleases(parent: Command, environment: Environment): void {
  const command = parent
    .command('releases')
    .description('Show what a device shall run, and who decided it.')
    .argument('<device>', 'name or id')
  handle(command, environment, async ({ operands, runtime: { api, output } }) => {
    const opened = await api()
    const { id } = await find(opened, findNoun(listNouns(), 'devices'), operand(operands, 0))
    const answer = await opened.call(routes.devices.releases, { params: { id } })
    if (output.json) {
      output.document(answer)
      return undefined
    }
    output.line(answer.group === null ? 'It belongs to no group.' : `It belongs to the group ${answer.group.name}.`)
    const rows = (['app', 'host'] as const).map((type) => {
      const release = answer[type]
      return release === null
        ? [type, 'what is there stays', '', '']
        : [type, release.version, deciders[release.by], release.releaseId]
    })
    output.table({ columns: ['HALF', 'VERSION', 'DECIDED BY', 'RELEASE'], rows })
    return undefined
  })
}

const deciders = {
  'device-pin': 'the pin of the device',
  'group-pin': 'the pin of its group',
  rollout: 'a rollout',
  channel: 'its channel, outside of a rollout',
}

function addAction(
  parent: Command,
  environment: Environment,
  { verb, kind, about }: { verb: string; kind: 'update' | 'reboot'; about: string },
): void {
  const command = parent
    .command(verb)
    .description(about)
    .argument('<device>', 'name or id')
    .option('--force', 'also while an application holds an update lock')
    .addOption(
      new Option('--expires-in-seconds <number>', 'not begun after that; default a day').argParser(wholeNumber(60)),
    )
  handle<{ force?: boolean; expiresInSeconds?: number }>(
    command,
    environment,
    async ({ operands, options: { force = false, expiresInSeconds }, runtime: { api, output } }) => {
      const opened = await api()
      const { id } = await find(opened, findNoun(listNouns(), 'devices'), operand(operands, 0))
      const limit = expiresInSeconds === undefined ? {} : { expiresInSeconds }
      const device = await opened.call(routes.devices.act, { params: { id }, body: { kind, force, ...limit } })
      if (output.json) output.document(device)
      else {
        output.line(`Asked for: ${verb} device ${plain(device.data.name)}. ${whenHeard(device)}`)
        output.note(`→ \`freehold devices report ${device.data.name}\` shows what came of it.`)
      }
      return undefined
    },
  )
}

function addMembers(parent: Command, environment: Environment): void {
  const command = parent
    .command('members')
    .description('Show how many devices belong to a group, and the first hundred of them.')
    .argument('<device-group>', 'name or id')
  handle(command, environment, async ({ operands, runtime: { api, output } }) => {
    const opened = await api()
    const { id } = await find(opened, findNoun(listNouns(), 'device-groups'), operand(operands, 0))
    const answer = await opened.call(routes.deviceGroups.members, { params: { id } })
    if (output.json) output.document(answer)
    else {
      output.line(membersSentence(answer.count))
      const rows = answer.devices.map((device) => [device.name, device.id])
      if (rows.length > 0) output.table({ columns: ['NAME', 'ID'], rows })
    }
    return undefined
  })
}

/** Nothing is dialled on a device: it must speak first. */
function whenHeard({ status: { state, intervalMs } }: Device): string {
  if (state === 'offline' || state === 'late') return `It is ${state}, and hears of it when it comes back.`
  if (intervalMs === null) return 'It hears of it with its next heartbeat.'
  return `It hears of it with its next heartbeat, within ${Math.ceil(intervalMs / 1000)} s.`
}

function membersSentence(count: number): string {
  if (count === 0) return 'No device belongs to it.'
  return count === 1 ? 'One device belongs to it.' : `${count} devices belong to it.`
}

function addReport(parent: Command, environment: Environment): void {
  const command = parent
    .command('report')
    .description('Show what a device last said of itself, and its last day.')
    .argument('<device>', 'name or id')
  handle(command, environment, async ({ operands, runtime: { api, io, output } }) => {
    const opened = await api()
    const device = await find(opened, findNoun(listNouns(), 'devices'), operand(operands, 0))
    const { id } = device
    const answer = await opened.call(routes.devices.report, { params: { id } })
    if (output.json) {
      output.document(answer)
      return undefined
    }
    output.line(
      answer.lastHeartbeatAt === null ? 'Never heard.' : `Heard ${age(answer.lastHeartbeatAt, io.now())} ago.`,
    )
    const asked = deviceData.shape.actions.safeParse(device.data.actions).data ?? []
    const answered = new Map((answer.report?.actions ?? []).map((action) => [action?.id, action]))
    const rows = asked.map(({ id: actionId, kind, force, expiresAt }) => {
      const { outcome, message } = answered.get(actionId) ?? {
        outcome: 'waits',
        message: `not begun after ${expiresAt}`,
      }
      return [force ? `${kind} --force` : kind, outcome ?? '', plain(message ?? ''), actionId]
    })
    if (rows.length > 0) output.table({ columns: ['ASKED FOR', 'OUTCOME', 'MESSAGE', 'ID'], rows })
    if (answer.report !== null) io.out(stringify(answer.report))
    if (answer.day.length > 0) output.table({ columns: historyColumns, rows: answer.day.map(historyRow) })
    return undefined
  })
}

const historyColumns = ['FROM', 'HEARTBEATS', 'LOAD', 'MEMORY', 'STORAGE', 'TEMPERATURE']

function historyRow(span: DeviceSpan): string[] {
  const withUnit = (value: number | null, unit: string) => (value === null ? '' : `${value} ${unit}`)
  return [
    span.at,
    String(span.heartbeats),
    span.load === null ? '' : String(span.load),
    withUnit(span.memoryPercent, '%'),
    withUnit(span.storagePercent, '%'),
    withUnit(span.temperatureCelsius, '°C'),
  ]
}

function addRename(parent: Command, environment: Environment): void {
  const command = parent
    .command('rename')
    .description('Give a device another name.')
    .argument('<device>', 'name or id')
    .argument('<name>', 'what it shall be called')
  handle(command, environment, async ({ operands, runtime: { api, output } }) => {
    const opened = await api()
    const { id } = await find(opened, findNoun(listNouns(), 'devices'), operand(operands, 0))
    const name = operand(operands, 1)
    const device = await opened.call(routes.devices.update, { params: { id }, body: { data: { name } } })
    if (output.json) output.document(device)
    else output.line(`The device is called ${device.data.name} now.`)
    return undefined
  })
}
