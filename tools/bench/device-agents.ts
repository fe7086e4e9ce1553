import { createNudge, heartbeatPauseMs, type Nudge, type Phase, urgencyOf } from '@freehold/device-agent'
import type { Clock, Random } from '@freehold/reconcile'

/** Where a device stands with its release. */
export interface Progress {
  releaseId: string
  attempt: number
  soakSeconds: number
  phase: Phase
  message: string
}
/** As much of an assignment as a device of the bench heeds. */
export interface Assigned {
  releaseId: string
  attempt: number
  soakSeconds: number
}

/** What the machines of the bench take for each; the soak is what the rollout says. */
const verifyMs = { leastMs: 500, spreadMs: 1_500 }
const downloadMs = { leastMs: 5_000, spreadMs: 15_000 }
const applyMs = { leastMs: 3_000, spreadMs: 5_000 }

interface Agent {
  nudge: Nudge | undefined
  cancelBeat: () => void
  cancelStep: () => void
  isSpeaking: boolean
  /** It is to speak again as soon as it was answered. */
  isWoken: boolean
  /** It was answered since its release runs. */
  isContacted: boolean
  isSoaked: boolean
  /** What it said last of its release. */
  said: Phase | undefined
}

/**
 * When devices speak and what they do with a release, by the agent's own rules: each heartbeat is an interval after the
 * one before, a tenth more or less, whatever that was sent for; what a step of a release deserves, and what goes out
 * together, is decided by the agent's code.
 */
export function createAgents(options: {
  clock: Clock
  random: Random
  monotonicMs: () => number
  intervalMs: number
  /** Kept from one run to the next. */
  releases: Map<number, Progress>
  /** A heartbeat of this device goes out; `onSent` and `onAnswer` follow. */
  speak: (device: number) => void
}) {
  const { clock, random, monotonicMs, intervalMs, releases } = options
  const agents = new Map<number, Agent>()
  let reported = 0
  const within = ({ leastMs, spreadMs }: { leastMs: number; spreadMs: number }) => leastMs + random.below(spreadMs)

  function speak(device: number, agent: Agent): void {
    agent.cancelBeat()
    if (agent.isSpeaking) {
      agent.isWoken = true
      return
    }
    agent.isSpeaking = true
    options.speak(device)
  }

  function speakIn(delayMs: number, device: number, agent: Agent): void {
    agent.cancelBeat = clock.after(delayMs, () => speak(device, agent))
  }

  function become(device: number, agent: Agent, phase: Phase, message: string): void {
    const progress = releases.get(device)
    if (progress === undefined) return
    releases.set(device, { ...progress, phase, message })
    agent.nudge?.wish(urgencyOf({ phase, soakSeconds: progress.soakSeconds }))
  }

  function begin(device: number, agent: Agent, soakSeconds: number): void {
    const then = (delayMs: number, step: () => void) => {
      agent.cancelStep = clock.after(delayMs, step)
    }
    const soaked = () => {
      agent.isSoaked = true
      endSoak(device, agent)
    }
    const applied = () => {
      become(device, agent, 'soaking', 'It runs, and is watched.')
      agent.isContacted = false
      agent.isSoaked = false
      then(soakSeconds * 1000, soaked)
    }
    const downloaded = () => {
      become(device, agent, 'applying', 'It is being applied.')
      then(within(applyMs), applied)
    }
    then(within(verifyMs), () => {
      become(device, agent, 'staged', 'It is verified.')
      become(device, agent, 'downloading', 'It is being downloaded.')
      then(within(downloadMs), downloaded)
    })
  }

  function endSoak(device: number, agent: Agent): void {
    const isSoaking = releases.get(device)?.phase === 'soaking'
    if (isSoaking && agent.isSoaked && agent.isContacted) become(device, agent, 'succeeded', 'It runs.')
  }

  function stop(): void {
    for (const { nudge, cancelBeat, cancelStep } of agents.values()) {
      nudge?.stop()
      cancelBeat()
      cancelStep()
    }
    agents.clear()
  }

  return {
    /** Devices speak at their time within one interval, and go on from there. */
    start(devices: number): void {
      const none = () => undefined
      for (let device = 0; device < devices; device += 1) {
        const states = { isSpeaking: false, isWoken: false, isContacted: false, isSoaked: false }
        const agent: Agent = { nudge: undefined, cancelBeat: none, cancelStep: none, said: undefined, ...states }
        agents.set(device, agent)
        speakIn((device / devices) * intervalMs, device, agent)
      }
    },
    /** What it says is what holds now. */
    onSent(device: number): void {
      const agent = agents.get(device)
      const phase = releases.get(device)?.phase
      if (agent === undefined || phase === undefined) return
      agent.nudge?.noteReport()
      if (agent.said !== phase) reported += 1
      agent.said = phase
    },
    /** Heartbeats so far that said something new of a release. */
    reported: () => reported,
    /** True where it was told a release that it did not have. */
    onAnswer(device: number, assigned: Assigned | null): boolean {
      const agent = agents.get(device)
      if (agent === undefined) return false
      agent.isSpeaking = false
      agent.isContacted = true
      endSoak(device, agent)
      const isNew = assigned !== null && releases.get(device)?.releaseId !== assigned.releaseId
      if (isNew) {
        const { releaseId, attempt, soakSeconds } = assigned
        releases.set(device, { releaseId, attempt, soakSeconds, phase: 'staged', message: '' })
        agent.nudge ??= createNudge({ clock, random, monotonicMs, act: () => speak(device, agent) })
        agent.nudge.noteReport()
        begin(device, agent, soakSeconds)
      }
      speakIn(agent.isWoken ? 0 : heartbeatPauseMs(intervalMs, random), device, agent)
      agent.isWoken = false
      return isNew
    },
    stop,
  }
}
