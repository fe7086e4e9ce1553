import { type LogLine, routes } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { AnyResource, Api } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { find, findService, nameOf } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { wholeNumber } from '../nouns/values.ts'
import { safeLogLine } from '../output/text.ts'
import { watchRollout } from '../rollout.ts'
import { type Environment, handle, operand } from '../runtime.ts'

/** Adds `deploy` and `logs`, and what a noun has besides its verbs: `services push-help`, `clusters join-code`. */
export function addServiceCommands(program: Command, environment: Environment): void {
  addDeploy(program, environment)
  addLogs(program, environment)
  addPushHelp(subcommand(program, 'services'), environment)
  addJoinCode(subcommand(program, 'clusters'), environment)
}

interface DeployOptions {
  imageVersion?: string
  revision?: number
  wait: boolean
}

function addDeploy(program: Command, environment: Environment): void {
  const command = program
    .command('deploy')
    .description('Roll a service out and follow it until it is final; exit 0 only if the new revision serves.')
    .argument('<service>', 'name or id')
    .addOption(new Option('--image-version <tag|digest>', "becomes the service's image version"))
    .addOption(
      new Option('--revision <number>', 'go back to this revision').argParser(wholeNumber(1)).conflicts('imageVersion'),
    )
    .option('--no-wait', 'do not follow the rollout; exit 0 once it is accepted')
  handle<DeployOptions>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const service = await findService(api, operand(operands, 0))
    const name = nameOf(service)
    const body = {
      ...(options.imageVersion === undefined ? {} : { imageVersion: options.imageVersion }),
      ...(options.revision === undefined ? {} : { revisionId: await revisionId(api, name, options.revision) }),
    }
    const accepted = await api.call(routes.services.deploy, { params: { id: service.id }, body })
    if (!options.wait) {
      if (runtime.output.json) runtime.output.document(accepted)
      else runtime.output.line(`Rolling ${name} out to revision ${accepted.revisionNumber}.`)
      if (!runtime.output.json) runtime.output.note(`→ \`freehold rollouts watch ${name}\` follows it.`)
      return undefined
    }
    return watchRollout(runtime, { api, rolloutId: accepted.rolloutId, serviceName: name, each: false })
  })
}

async function revisionId(api: Api, serviceName: string, number: number): Promise<string> {
  return (await find(api, findNoun(listNouns(), 'revisions'), `${serviceName}/${number}`)).id
}

interface LogsOptions {
  follow?: boolean
  tail: number
}

function addLogs(program: Command, environment: Environment): void {
  const command = program
    .command('logs')
    .description('Log lines of all containers of a service (NDJSON with --json).')
    .argument('<service>', 'name or id')
    .option('-f, --follow', 'go on with new lines until interrupted')
    .addOption(
      new Option('--tail <number>', 'how many of the last lines to begin with').argParser(wholeNumber(0)).default(100),
    )
  handle<LogsOptions>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const service = await findService(api, operand(operands, 0))
    const query = { tail: options.tail, follow: options.follow === true ? 'true' : 'false' }
    const { output, io, signal } = runtime
    try {
      for await (const line of api.lines(routes.services.logs, { params: { id: service.id }, query })) {
        if (output.json) output.record(line)
        else output.line(describeLine(line, output.style, { terminal: io.terminal.stdout }))
      }
    } catch (error) {
      if (options.follow !== true || !signal.aborted || io.signal.aborted) throw error
    }
    return undefined
  })
}

function describeLine(
  line: LogLine,
  style: (name: 'dim', text: string) => string,
  options: { terminal: boolean },
): string {
  const where = `${line.nodeName}/${line.taskId.slice(0, 8)}`
  return `${style('dim', `${line.at.slice(0, 23)} ${where}`)}  ${options.terminal ? safeLogLine(line.line) : line.line}`
}

function addPushHelp(services: Command, environment: Environment): void {
  const command = services
    .command('push-help')
    .description('Where the image of a service is pushed, and the lines to do it.')
    .argument('<service>', 'name or id')
  handle(command, environment, async ({ operands, runtime: { api: open, output } }) => {
    const api = await open()
    const service = await findService(api, operand(operands, 0))
    const target = await api.call(routes.services.registryTarget, { params: { id: service.id } })
    if (output.json) {
      output.document(target)
      return undefined
    }
    output.line(`docker login ${target.registry}`)
    output.line(`docker tag my-image ${target.target}`)
    output.line(`docker push ${target.target}`)
    const deploys = service.data.deployOnPush !== false
    output.note(
      deploys
        ? `→ A push rolls ${nameOf(service)} out; \`freehold rollouts watch ${nameOf(service)}\` follows it.`
        : `→ A push deploys nothing here (deployOnPush is off); \`freehold deploy ${nameOf(service)}\` does.`,
    )
    return undefined
  })
}

interface JoinOptions {
  uses: number
  expiresIn: number
}

function addJoinCode(clusters: Command, environment: Environment): void {
  const command = clusters
    .command('join-code')
    .description('Make the code (JUMPCODE) with which machines join a cluster; shown once.')
    .argument('<cluster>', 'name or id')
    .addOption(new Option('--uses <number>', 'how many machines may use it').argParser(wholeNumber(1)).default(1))
    .addOption(new Option('--expires-in <seconds>', 'how long it is good for').argParser(wholeNumber(60)).default(3600))
  handle<JoinOptions>(command, environment, async ({ operands, options, runtime: { api: open, output } }) => {
    const api = await open()
    const cluster: AnyResource = await find(api, findNoun(listNouns(), 'clusters'), operand(operands, 0))
    const data = { clusterId: cluster.id, uses: options.uses, expiresInSeconds: options.expiresIn }
    const made = await api.call(routes.enrolments.create, { body: { data } })
    if (output.json) {
      output.document(made)
      return undefined
    }
    output.note(
      `Run this in a clone of Freehold on the machine that shall join ${nameOf(cluster)}, before ${made.resource.data.expiresAt}:`,
    )
    output.line(made.command)
    return undefined
  })
}

function subcommand(program: Command, name: string): Command {
  const found = program.commands.find((command) => command.name() === name)
  if (found === undefined) throw new CliError(exitCodes.failed, `The contract has no ${name}.`)
  return found
}
