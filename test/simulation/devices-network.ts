import { deviceHeartbeatPath, type SignedAssignment } from '@freehold/contracts'
import type { Clock, Random } from '@freehold/reconcile'
import { NoAnswerError, type Send } from '../../packages/device-agent/src/device.testing.ts'
import type { Answer, SimulatedFleet } from '../../packages/server/src/fleet.testing.ts'

export interface DeviceNetwork {
  /** Drops, repeats, delays and forges. */
  isStormy: boolean
  /** Regions nothing gets out of or into. */
  partitioned: Set<number>
  /** Requests the control plane is answering just now. */
  inFlight(): number
  send(device: { nodeId: string; region: number }): Send
  counts: Record<'sent' | 'answered' | 'lost' | 'repeated' | 'delayed' | 'forged', number>
}

/** What passed the control plane's door. */
export interface Passed {
  nodeId: string
  path: string
  request: string
  answer: Answer
}

/**
 * The way between devices and control plane. Requests and answers take up to two seconds each; in a storm one in twenty is
 * lost, and some come minutes late, come twice, or come with an assignment that somebody tampered with.
 */
export function createDeviceNetwork(options: {
  clock: Clock
  random: Random
  controlPlane: () => SimulatedFleet | undefined
  /** Told of everything that was answered, before the answer travels. */
  onPassed: (passed: Passed) => Promise<void> | void
  onFault: (sentence: string) => void
}): DeviceNetwork {
  const { clock, random, controlPlane } = options
  const assignments: SignedAssignment[] = []
  let inFlight = 0
  const network: DeviceNetwork = {
    isStormy: false,
    partitioned: new Set(),
    inFlight: () => inFlight,
    counts: { sent: 0, answered: 0, lost: 0, repeated: 0, delayed: 0, forged: 0 },
    send: (device) => (request) =>
      new Promise((resolve, reject) => {
        network.counts.sent += 1
        const fail = (reason: string) => {
          cancelLimit()
          request.signal?.removeEventListener('abort', onAbort)
          reject(new NoAnswerError(`control-plane.test gave no answer: ${reason}.`))
        }
        const onAbort = () => fail('it was no longer wanted')
        const cancelLimit = clock.after(request.timeLimitMs, () => fail('none in time'))
        request.signal?.addEventListener('abort', onAbort, { once: true })
        const arrive = (answer: Answer) => {
          cancelLimit()
          request.signal?.removeEventListener('abort', onAbort)
          network.counts.answered += 1
          resolve({ status: answer.status, headers: answer.headers, body: answer.body })
        }
        const travel = () =>
          carry(device, {
            path: request.url.pathname,
            authorization: request.headers?.authorization,
            body: request.body ?? '',
            arrive,
          })
        travel()
        if (chance(30)) {
          network.counts.repeated += 1
          travel()
        }
      }),
  }

  /** True once in so many times, in a storm. */
  function chance(times: number): boolean {
    return network.isStormy && random.below(times) === 0
  }

  function latencyMs(): number {
    if (!chance(50)) return 20 + random.below(2_000)
    network.counts.delayed += 1
    return random.below(10 * 60_000)
  }

  function isLost(region: number): boolean {
    const lost = chance(20) || network.partitioned.has(region)
    if (lost) network.counts.lost += 1
    return lost
  }

  function carry(
    device: { nodeId: string; region: number },
    request: { path: string; authorization: string | undefined; body: string; arrive: (answer: Answer) => void },
  ): void {
    const { path, authorization, body } = request
    if (isLost(device.region)) return
    clock.after(latencyMs(), () => {
      const asked = controlPlane()
      if (asked === undefined) return
      inFlight += 1
      asked
        .post(path, { authorization, body })
        .then(async (answer) => {
          // Who was asked is gone: a process that was killed says nothing more.
          if (controlPlane() !== asked) return
          await options.onPassed({ nodeId: device.nodeId, path, request: body, answer })
          if (isLost(device.region)) return
          const sent = forged(path, answer)
          clock.after(latencyMs(), () => request.arrive(sent))
        })
        .catch((error: unknown) => {
          if (controlPlane() === asked) options.onFault(`${path}: ${(error as Error).stack}`)
        })
        .finally(() => {
          inFlight -= 1
        })
    })
  }

  /** Now and then another assignment stands in an answer: an old one, another device's, one that was changed. */
  function forged(path: string, answer: Answer): Answer {
    if (path !== deviceHeartbeatPath || !answer.body.includes('"assignment":{')) return answer
    const body = JSON.parse(answer.body) as {
      generation: number
      desiredState: { generation: number; assignment: SignedAssignment }
    }
    const { assignment } = body.desiredState
    const other = assignments[random.below(Math.max(1, assignments.length))]
    if (assignments.length < 500) assignments.push(assignment)
    else assignments[random.below(500)] = assignment
    if (!chance(15) || other === undefined) return answer
    network.counts.forged += 1
    const app = other.signed.app ?? assignment.signed.app
    const forgeries: SignedAssignment[] = [
      other,
      { ...assignment, signatures: [] },
      { ...assignment, signed: { ...assignment.signed, app } },
      { ...assignment, signed: { ...assignment.signed, counter: assignment.signed.counter + 1 } },
      { ...other, signed: { ...other.signed, nodeId: assignment.signed.nodeId } },
    ]
    const generation = 1 + random.below(2 ** 30)
    const desiredState = { generation, assignment: forgeries[random.below(forgeries.length)] }
    return { ...answer, body: JSON.stringify({ ...body, generation, desiredState }) }
  }

  return network
}
