import { type DeviceSpan, routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { age } from '../output/text.ts'
import { type Environment, handle, operand } from '../runtime.ts'

/** Adds `devices report` and `devices rename` to the commands made from the contract. */
export function addDeviceCommands(program: Command, environment: Environment): void {
  const devices = program.commands.find((command) => command.name() === 'devices')
  if (devices === undefined) throw new Error('The contract has no devices.')
  addReport(devices, environment)
  addRename(devices, environment)
}

function addReport(parent: Command, environment: Environment): void {
  const command = parent
    .command('report')
    .description('Show what a device last said of itself, and its last day.')
    .argument('<device>', 'name or id')
  handle(command, environment, async ({ operands, runtime: { api, io, output } }) => {
    const opened = await api()
    const { id } = await find(opened, findNoun(listNouns(), 'devices'), operand(operands, 0))
    const answer = await opened.call(routes.devices.report, { params: { id } })
    if (output.json) {
      output.document(answer)
      return undefined
    }
    output.line(
      answer.lastHeartbeatAt === null ? 'Never heard.' : `Heard ${age(answer.lastHeartbeatAt, io.now())} ago.`,
    )
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
