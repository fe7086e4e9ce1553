#!/usr/bin/env node
/**
 * The boot's side of a host with two roots: `two-roots-boot FOLDER` counts the attempts of a root that is on trial,
 * returns to the one before it when they are used up, and prints the path of the root to boot. It runs before any of
 * them does, from what is not part of one, such as an initial RAM disk. 0: a path was printed. 1: no root can boot.
 * 2: wrong arguments. Where the disk takes no changes, the root of before a trial is printed.
 */
import { isAbsolute, join } from 'node:path'
import { type BootDecision, carryOutBoot, decideBoot, type RootName, readLayout } from './boot-record.ts'
import { createDisk } from './disk.ts'

const [directory, ...others] = process.argv.slice(2)
if (directory === undefined || !isAbsolute(directory) || others.length > 0) {
  process.stderr.write('Usage: two-roots-boot FOLDER (an absolute path)\n')
  process.exitCode = 2
} else {
  process.exitCode = await boot(directory)
}

async function boot(folder: string): Promise<number> {
  const decision = decideBoot(await readLayout(folder))
  if (decision === null) {
    process.stderr.write(`No root below ${folder} can boot.\n`)
    return 1
  }
  const root = await recorded(folder, decision)
  process.stdout.write(`${join(folder, root)}\n`)
  return 0
}

async function recorded(folder: string, decision: BootDecision): Promise<RootName> {
  try {
    await carryOutBoot(folder, decision, createDisk())
    process.stderr.write(`${decision.message}\n`)
    return decision.root
  } catch (error) {
    process.stderr.write(`This boot cannot be recorded, so nothing is tried: ${(error as Error).message}\n`)
    return decision.otherwise
  }
}
