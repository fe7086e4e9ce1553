import type { Connection, Transport } from '@freehold/cluster-agent'
import type { Clock, Random } from '@freehold/reconcile'
import type { LinkTransport } from '../../packages/server/src/agents/index.ts'

/**
 * A SIMULATED network between agents and a control plane. In a storm it loses, repeats and reorders frames; links can
 * be cut, and an agent can be partitioned: frames vanish and nobody is told. Calm, it only takes its time.
 */
export interface SimulatedNetwork {
  isStormy: boolean
  readonly partitioned: Set<string>
  transport(agent: string, enrol: Transport['enrol']): Transport
  /** Ends every link of an agent, as a reset does. */
  cut(agent: string): void
}

export function createSimulatedNetwork(options: {
  clock: Clock
  random: Random
  accept: (transport: LinkTransport) => void
}): SimulatedNetwork {
  const { clock, random } = options
  const links = new Map<string, Set<() => void>>()
  const network: SimulatedNetwork = {
    isStormy: false,
    partitioned: new Set(),
    cut(agent) {
      for (const end of [...(links.get(agent) ?? [])]) end()
    },
    transport: (agent, enrol) => ({
      async enrol(request, signal) {
        await clock.sleep(5)
        if (network.partitioned.has(agent)) throw new Error('The network is unreachable.')
        return enrol(request, signal)
      },
      async connect({ onText, onClose }, signal): Promise<Connection> {
        await clock.sleep(1 + random.below(10), signal)
        if (network.partitioned.has(agent)) throw new Error('The network is unreachable.')
        const agentHears: ((text: string) => void)[] = [onText]
        const serverHears: ((text: string) => void)[] = []
        const serverClosed: (() => void)[] = []
        const toAgent = createDirection(agent, agentHears)
        const toServer = createDirection(agent, serverHears)
        let isOpen = true
        const end = (reason = 'the connection was reset'): void => {
          if (!isOpen) return
          isOpen = false
          links.get(agent)?.delete(end)
          clock.after(1 + random.below(20), () => {
            toAgent.close()
            toServer.close()
            for (const listener of serverClosed) listener()
            onClose(reason)
          })
        }
        links.set(agent, (links.get(agent) ?? new Set()).add(end))
        options.accept({
          send: (text) => void (isOpen && toAgent.deliver(text)),
          close: end,
          onMessage: (listener) => serverHears.push(listener),
          onClose: (listener) => serverClosed.push(listener),
          queuedBytes: () => 0,
        })
        return {
          send: async (message) => {
            if (!isOpen) throw new Error('The connection is closed.')
            toServer.deliver(JSON.stringify(message))
          },
          close: end,
        }
      },
    }),
  }

  function createDirection(agent: string, listeners: readonly ((text: string) => void)[]) {
    let lastAt = 0
    let isClosed = false
    const arrive = (text: string): void => {
      if (isClosed || network.partitioned.has(agent)) return
      for (const listener of listeners) listener(text)
    }
    return {
      close: () => {
        isClosed = true
      },
      deliver(text: string): void {
        if (network.isStormy && random.next() < 0.03) return
        const times = network.isStormy && random.next() < 0.05 ? 2 : 1
        for (let time = 0; time < times; time++) {
          const at = clock.now() + 1 + random.below(network.isStormy ? 150 : 10)
          const isReordered = network.isStormy && random.next() < 0.05
          if (!isReordered) lastAt = Math.max(lastAt, at)
          clock.after((isReordered ? at : lastAt) - clock.now(), () => arrive(text))
        }
      },
    }
  }
  return network
}
