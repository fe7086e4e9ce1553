import { type Dockerd, initialiseSwarm, startEngine } from './dockerd.ts'
import { type Machine, startMachine } from './machine.ts'
import { requireParts } from './parts.ts'
import { run } from './process.ts'

/** A node of the lab's Swarm: an engine in a machine with a network of its own. */
export interface SwarmNode extends Dockerd {
  name: string
  /** Reaches the node from the test and from the other nodes. */
  address: string
  /** Takes its cable out: nothing reaches it, everything on it goes on. */
  cut(): Promise<void>
  mend(): Promise<void>
  /** Every process on it dies at once, the engine's and the containers'. */
  powerOff(): Promise<void>
}

export interface SwarmNodes {
  nodes: SwarmNode[]
  /** The test's own address on the nodes' network: what runs in the test is reached here. */
  hostAddress: string
  stop(): Promise<void>
}

const subnet = '10.213.0'
const bridge = 'freehold-lab'

/** Starts `count` engines joined to one Swarm; the first leads, and `managers` (default 1) of them are managers. */
export async function startSwarmNodes(count: number, options: { managers?: number } = {}): Promise<SwarmNodes> {
  requireParts(['dockerd', 'containerd', 'runc', 'iptables', 'ip', 'nsenter', 'unshare'])
  if (count < 1 || count > 16) throw new Error('The lab makes 1 to 16 nodes.')
  const hostAddress = `${subnet}.1`
  const nodes: SwarmNode[] = []
  let stopped = false
  const stop = async () => {
    if (stopped) return
    stopped = true
    await Promise.all(nodes.map((node) => node.stop()))
    for (const [index] of nodes.entries()) await removeCable(index + 1)
    await removeBridge()
  }
  await makeBridge(hostAddress)
  try {
    for (let number = 1; number <= count; number += 1) nodes.push(await startNode(number, hostAddress))
    await join(nodes, options.managers ?? 1)
  } catch (error) {
    await stop()
    throw error
  }
  return { nodes, hostAddress, stop }
}

async function startNode(number: number, hostAddress: string): Promise<SwarmNode> {
  const name = `node${number}`
  const cable = cableOf(number)
  const address = `${subnet}.${10 + number}`
  const machine = await startMachine({ network: 'own' })
  try {
    await connect(machine, { name, cable, address, hostAddress })
    const dockerd = await startEngine(machine, { insecureRegistries: [`${subnet}.0/24`] })
    return {
      ...dockerd,
      name,
      address,
      cut: async () => void (await run(['ip', 'link', 'set', cable, 'down'])),
      mend: async () => void (await run(['ip', 'link', 'set', cable, 'up'])),
      powerOff: () => machine.powerOff(),
    }
  } catch (error) {
    await machine.powerOff()
    throw error
  }
}

function cableOf(number: number): string {
  return `${bridge}-${number}`
}

/** The system takes a cable away with the machine at its other end, but in its own time. */
async function removeCable(number: number): Promise<void> {
  await run(['ip', 'link', 'delete', cableOf(number)]).catch((error) => {
    if (!String(error).includes('Cannot find device')) throw error
  })
}

async function connect(
  machine: Machine,
  plug: { name: string; cable: string; address: string; hostAddress: string },
): Promise<void> {
  await run(['ip', 'link', 'add', plug.cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(machine.pid)])
  await run(['ip', 'link', 'set', plug.cable, 'master', bridge, 'up'])
  await machine.run(['ip', 'address', 'add', `${plug.address}/24`, 'dev', 'eth0'])
  await machine.run(['ip', 'link', 'set', 'eth0', 'up'])
  await machine.run(['ip', 'route', 'add', 'default', 'via', plug.hostAddress])
}

async function join(nodes: readonly SwarmNode[], managers: number): Promise<void> {
  const [first, ...others] = nodes
  if (first === undefined) return
  await initialiseSwarm(first, first.address)
  const { JoinTokens: tokens } = await first.engine.swarmInspect()
  for (const [index, node] of others.entries()) {
    await node.engine.swarmJoin({
      ListenAddr: `${node.address}:2377`,
      AdvertiseAddr: node.address,
      RemoteAddrs: [`${first.address}:2377`],
      JoinToken: index + 1 < managers ? tokens?.Manager : tokens?.Worker,
    })
  }
}

async function makeBridge(address: string): Promise<void> {
  await run(['ip', 'link', 'add', bridge, 'type', 'bridge'])
  await run(['ip', 'address', 'add', `${address}/24`, 'dev', bridge])
  await run(['ip', 'link', 'set', bridge, 'up'])
  // An engine in the test's own network may have set the policy to DROP; frames on this bridge must pass all the same.
  await run(['iptables', '--wait', '-I', 'FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'])
}

async function removeBridge(): Promise<void> {
  await run(['iptables', '--wait', '-D', 'FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'])
  await run(['ip', 'link', 'delete', bridge])
}
