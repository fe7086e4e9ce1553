export type Tone = 'good' | 'warn' | 'bad' | 'moving' | 'waiting' | 'idle' | 'unknown'

const tones: Record<Tone, readonly string[]> = {
  good: ['running', 'working', 'online', 'succeeded', 'passing', 'complete', 'signed', 'done', 'idle'],
  warn: [
    'late',
    'degraded',
    'warning',
    'reverting',
    'expired',
    'rolled-back',
    'locked',
    'unsigned',
    'exited',
    'dead',
    'restarting',
    'waiting-for-approval',
  ],
  bad: ['failed', 'offline', 'failing', 'rejected', 'orphaned', 'error', 'unreachable', 'token-refused'],
  moving: [
    'deploying',
    'verifying',
    'starting',
    'settling',
    'retiring',
    'preparing',
    'ready',
    'accepted',
    'assigned',
    'staged',
    'downloading',
    'applying',
    'soaking',
    'begun',
    'building',
    'uploading',
    'busy',
  ],
  waiting: ['waiting', 'enrolled', 'untested', 'waiting-for-image', 'initializing', 'new', 'pending', 'allocated'],
  idle: [
    'stopped',
    'aborted',
    'cancelled',
    'off',
    'superseded',
    'revoked',
    'shutdown',
    'remove',
    'disabled',
    'withdrawn',
    'paused',
    'left',
    'ignored',
    'not-supported',
  ],
  unknown: [],
}

/** How a state of a service, rollout, cluster, node or task is to be seen; unknown words are `unknown`, never good. */
export function toneOf(state: string): Tone {
  const found = Object.entries(tones).find(([, states]) => states.includes(state))
  return (found?.[0] as Tone | undefined) ?? 'unknown'
}
