import { routes, type SignedMetadata, signedMetadataSchema, type UpdatesState, updateRoles } from '@freehold/contracts'
import { Argument, type Command, Option } from 'commander'
import { z } from 'zod'
import { CliError, exitCodes } from '../exit-codes.ts'
import { readSource } from '../input/source.ts'
import { collect, wholeNumber } from '../nouns/values.ts'
import type { Output } from '../output/output.ts'
import { plain } from '../output/text.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { describeRoot, nextRoot, rootSchema } from '../updates/next-root.ts'
import {
  addSignatures,
  createKeyFile,
  readPassphrase,
  readPublicKey,
  readSigningKey,
  writeNew,
} from '../updates/signing-keys.ts'

type Role = (typeof updateRoles)[number]

/** Adds `updates`: the signed update channel of devices, and keys that are kept outside the control plane. */
export function addUpdates(program: Command, environment: Environment): void {
  const updates = program
    .command('updates')
    .summary('the signed update channel of devices, and its keys')
    .description('The signed update channel of devices, and its keys (docs/updates.md).')
  const status = updates.command('status').description('Show roles, keys, expiry, and what must be seen to.')
  handle(status, environment, async ({ runtime }) => {
    tell(runtime.output, await (await runtime.api()).call(routes.updates.get))
    return undefined
  })
  addKeyCreate(updates, environment)
  addRootSign(updates, environment)
  addTargetsSign(updates, environment)
  addRotate(updates, environment)
  const drop = updates
    .command('drop-root-key')
    .description("Forget the control plane's root key, once the root metadata do not name it any more.")
  handle(drop, environment, async ({ runtime }) => {
    tell(runtime.output, await (await runtime.api()).call(routes.updates.dropRootKey))
    return undefined
  })
}

function addKeyCreate(updates: Command, environment: Environment): void {
  const create = updates
    .command('key')
    .description('Keys that are kept outside the control plane.')
    .command('create')
    .description('Make an ed25519 key: FILE (PEM, for its owner alone) and FILE.pub. Needs no server.')
    .requiredOption('--out <file>', 'where to write it; a file that is there is left as it is')
    .option('--passphrase', 'encrypt it with a passphrase that is asked for')
    .option('--passphrase-file <file>', 'encrypt it with the first line of this file')
  handle<{ out: string; passphrase?: boolean; passphraseFile?: string }>(
    create,
    environment,
    async ({ options, runtime: { io, output } }) => {
      const { out, passphraseFile } = options
      const isLocked = options.passphrase === true || passphraseFile !== undefined
      const passphrase = isLocked ? await readPassphrase(io, { file: out, passphraseFile }) : undefined
      if (passphraseFile === undefined && passphrase !== undefined) {
        const again = await readPassphrase(io, { file: `${out}, again`, passphraseFile })
        if (again !== passphrase) throw new CliError(exitCodes.usage, 'The two passphrases differ.', 'Try again.')
      }
      const { keyid, key } = await createKeyFile(out, passphrase)
      if (output.json) output.document({ keyid, publicKey: key.keyval.public, file: out })
      else {
        output.table({ columns: ['KEY', 'PUBLIC'], rows: [[keyid, key.keyval.public]] })
        output.note(`${out} is the private key: keep a copy where a fire does not reach both.`)
      }
      return undefined
    },
  )
}

interface SignOptions {
  key?: string[]
  passphraseFile?: string
  in?: string
  out?: string
  publish?: boolean
}

function signOptions(command: Command): Command {
  return command
    .option('--key <file>', 'sign with this key (repeatable)', collect)
    .option('--passphrase-file <file>', 'its first line opens the keys; default: it is asked for')
    .option('--in <file>', 'add signatures to what an earlier call wrote, instead of making it anew (needs no server)')
    .addOption(new Option('--out <file>', 'write it to this file, for others to sign').conflicts('publish'))
    .option('--publish', 'hand it to the control plane')
}

function addRootSign(updates: Command, environment: Environment): void {
  const command = signOptions(
    updates
      .command('root')
      .description('Root metadata: which keys each role has.')
      .command('sign')
      .description('Make the next root metadata, or take what --in names, and sign it.'),
  )
    .addOption(new Option('--role <role>', 'whose keys change').choices(updateRoles).default('root'))
    .option('--add-key <key>', 'give the role this public key: 64 digits, or a .pub file (repeatable)', collect)
    .option('--remove-key <keyid>', 'take this key from the role (repeatable)', collect)
    .addOption(new Option('--threshold <number>', 'signatures the role needs').argParser(wholeNumber(1)))
    .addOption(
      new Option('--expires-in-days <number>', 'how long it is good').argParser(wholeNumber(1, 36_500)).default(365),
    )
  interface RootOptions extends SignOptions {
    role: Role
    addKey?: string[]
    removeKey?: string[]
    threshold?: number
    expiresInDays: number
  }
  handle<RootOptions>(command, environment, async ({ options, runtime }) => {
    const changes = options.addKey ?? options.removeKey ?? options.threshold
    if (options.in !== undefined && changes !== undefined) {
      throw new CliError(
        exitCodes.usage,
        'What --in names is signed as it is.',
        'Leave out --add-key, --remove-key and --threshold, or make it anew without --in.',
      )
    }
    const make = async () => {
      const { signed, ...rest } = await (await runtime.api()).call(routes.updates.root)
      const change = {
        role: options.role,
        add: await Promise.all((options.addKey ?? []).map(readPublicKey)),
        remove: options.removeKey ?? [],
        threshold: options.threshold,
        expiresInDays: options.expiresInDays,
      }
      return { ...rest, signatures: [], signed: nextRoot(parseRoot(signed), change, runtime.io.now()) }
    }
    return signAndPass(runtime, options, {
      make,
      describe: (signed) => describeRoot(parseRoot(signed)),
      publish: async (body) => (await runtime.api()).call(routes.updates.publishRoot, { body }),
    })
  })
}

function addTargetsSign(updates: Command, environment: Environment): void {
  const command = signOptions(
    updates
      .command('targets')
      .description('Targets metadata: which releases there are.')
      .command('sign')
      .description(
        'Take the next targets metadata as the control plane drafts them, or what --in names, and sign them.',
      ),
  )
  handle<SignOptions>(command, environment, async ({ options, runtime }) =>
    signAndPass(runtime, options, {
      make: async () => (await runtime.api()).call(routes.updates.draftTargets),
      describe: describeTargets,
      publish: async (body) => (await runtime.api()).call(routes.updates.publishTargets, { body }),
    }),
  )
}

/** Shows what is signed before it is, on standard error. */
async function signAndPass(
  runtime: Runtime,
  options: SignOptions,
  steps: {
    make: () => Promise<SignedMetadata>
    describe: (signed: SignedMetadata['signed']) => string[]
    publish: (metadata: SignedMetadata) => Promise<UpdatesState>
  },
): Promise<undefined> {
  const { io, output } = runtime
  if (options.publish !== true && options.out === undefined) {
    throw new CliError(exitCodes.usage, 'Where to put it is not said.', 'Add --publish, or --out FILE.')
  }
  const unsigned = options.in === undefined ? await steps.make() : await readMetadata(runtime, options.in)
  for (const line of steps.describe(unsigned.signed)) output.note(plain(line))
  const keys = []
  for (const file of options.key ?? []) keys.push(await readSigningKey(io, file, options.passphraseFile))
  const signed = addSignatures(unsigned, keys)
  if (options.out !== undefined) {
    await writeNew(options.out, `${JSON.stringify(signed, null, 2)}\n`, 0o644)
    output.note(
      `Written to ${options.out}, with ${signed.signatures.length} ${signed.signatures.length === 1 ? 'signature' : 'signatures'}.`,
    )
    if (output.json) output.document(signed)
  } else tell(output, await steps.publish(signed))
  return undefined
}

async function readMetadata({ io }: Runtime, file: string): Promise<SignedMetadata> {
  const { text } = await readSource(io, file)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const parsed = signedMetadataSchema.safeParse(value)
  if (!parsed.success) {
    throw new CliError(exitCodes.usage, `${file} holds no metadata.`, 'Name a file that --out wrote.')
  }
  return parsed.data
}

function parseRoot(signed: unknown) {
  const parsed = rootSchema.safeParse(signed)
  if (!parsed.success) {
    throw new CliError(
      exitCodes.usage,
      'This is no root metadata.',
      'Name a file that `freehold updates root sign --out` wrote.',
    )
  }
  return parsed.data
}

const targetsSchema = z.looseObject({
  _type: z.literal('targets'),
  version: z.int(),
  expires: z.string(),
  targets: z.record(z.string(), z.looseObject({ hashes: z.looseObject({ sha256: z.string() }) })),
})

function describeTargets(signed: SignedMetadata['signed']): string[] {
  const parsed = targetsSchema.safeParse(signed)
  if (!parsed.success) {
    throw new CliError(
      exitCodes.usage,
      'These are no targets metadata.',
      'Name a file that `freehold updates targets sign --out` wrote.',
    )
  }
  const { version, expires, targets } = parsed.data
  const files = Object.entries(targets).map(([path, { hashes }]) => `  ${hashes.sha256.slice(0, 16)}  ${path}`)
  return [`Targets ${version}, good until ${expires}, ${files.length} files:`, ...files]
}

function addRotate(updates: Command, environment: Environment): void {
  const command = updates
    .command('rotate')
    .description("Replace the control plane's key of a role by a new one.")
    .addArgument(new Argument('<role>', 'whose key').choices([...updateRoles, 'assignment']))
  handle(command, environment, async ({ operands, runtime: { api, output } }) => {
    const role = operand(operands, 0) as Role | 'assignment'
    const rotated = await (await api()).call(routes.updates.rotateKey, { params: { role } })
    if (output.json) {
      output.document(rotated)
      return undefined
    }
    output.line(`The new key of ${role} is ${rotated.keyid}.`)
    if (rotated.isPublished) output.line('Devices learn of it with their next look.')
    else for (const problem of rotated.state.problems) output.line(problem)
    return undefined
  })
}

function tell(output: Output, state: UpdatesState): void {
  if (output.json) {
    output.document(state)
    return
  }
  output.table({
    columns: ['ROLE', 'VERSION', 'EXPIRES', 'SIGNATURES', 'KEYS'],
    rows: updateRoles.map((role) => {
      const { version, expiresAt, threshold, keys } = state.roles[role]
      const named = keys.map(({ keyid, isHere }) => `${keyid.slice(0, 16)}${isHere ? ' (here)' : ''}`)
      return [role, String(version), expiresAt, `${threshold} of ${keys.length}`, named.join(', ')]
    }),
  })
  if (state.problems.length === 0) output.line(output.style('green', 'All is well.'))
  for (const problem of state.problems) output.line(output.style('yellow', plain(problem)))
}
