import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { findPart, run } from '../../test/system/lab/index.ts'

export interface Machine {
  cpu: string
  cores: number
  memoryMB: number
  kernel: string
  versions: Record<string, string>
}

/** What the figures were taken on: without it they say nothing. */
export async function describeMachine(): Promise<Machine> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryMB: Math.round(totalmem() / 1024 / 1024),
    kernel: release(),
    versions: {
      freehold: ownVersion(),
      node: process.versions.node,
      sqlite: process.versions.sqlite ?? 'none',
      ...(findPart('dockerd') === undefined ? {} : { docker: dockerVersion(await run(['dockerd', '--version'])) }),
    },
  }
}

function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function dockerVersion(text: string): string {
  return /version ([^\s,]+)/.exec(text)?.[1] ?? text.trim()
}
