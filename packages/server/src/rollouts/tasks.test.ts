import { describe, expect, it } from 'vitest'
import { revision, service, task } from './rollout.testing.ts'
import { causeOf } from './tasks.ts'

describe('why containers are not healthy', () => {
  const one = revision(service(), 1)
  const cause = (part: Parameters<typeof task>[1]) => causeOf([task(one, { nodeName: 'vm', ...part })])

  it.each([
    [
      { state: 'failed', exitCode: 3, message: 'task: non-zero exit (3)' },
      'A container on vm failed with exit code 3.',
    ],
    [
      { state: 'failed', message: 'starting container failed: no such file' },
      'A container on vm failed: starting container failed: no such file.',
    ],
    [{ state: 'rejected', message: 'No such image.' }, 'A container on vm could not be started: No such image.'],
    [{ state: 'complete', exitCode: 0, message: 'finished' }, 'A container on vm ended by itself with exit code 0.'],
    [{ state: 'assigned', message: 'scheduler assigned task to node' }, 'A container on vm is about to start.'],
    [{ state: 'preparing', message: 'preparing' }, 'A container on vm is being prepared; its image is pulled.'],
    [
      { state: 'running', message: 'started', healthMessage: 'Port 80 refuses.' },
      'A container on vm runs; its health check says: Port 80 refuses.',
    ],
    [
      { state: 'pending', nodeName: null, message: 'no suitable node' },
      'A container waits for a node: no suitable node.',
    ],
    [{ state: 'of-tomorrow', message: 'said so' }, 'A container on vm is of-tomorrow: said so.'],
  ] as const)('%j', (part, sentence) => {
    expect(cause(part)).toBe(sentence)
  })

  it('is cut to a bounded sentence', () => {
    expect(cause({ state: 'failed', message: 'x'.repeat(5_000) })).toHaveLength(600)
  })
})
