interface Situation {
  counts: { clusters: number; nodes: number; services: number; devices: number }
  mayMakeClusters: boolean
  mayMakeJoinTokens: boolean
  mayMakeServices: boolean
  /** Services without an image, at most a few. */
  waiting: readonly { id: string; name: string }[]
}

interface Target {
  to: '/clusters' | '/join-tokens' | '/services/new' | '/services/$id'
  params?: { id: string }
}

export interface NextStep {
  title: string
  why: string
  action: string
  /** Null where this role must ask someone else. */
  to: Target | null
  isFirst: boolean
}

/** What stands between this control plane and something that runs, the next step first. Empty: nothing does. */
export function nextSteps(situation: Situation): NextStep[] {
  const { counts, waiting, mayMakeClusters, mayMakeJoinTokens, mayMakeServices } = situation
  const steps: Omit<NextStep, 'isFirst'>[] = []
  // Whoever has devices alone needs no cluster.
  if (counts.clusters === 0 && counts.devices === 0) {
    steps.push({
      title: 'Create a cluster',
      why: mayMakeClusters ? 'A cluster is the set of machines your services run on.' : 'Ask an administrator for one.',
      action: 'Create cluster',
      to: mayMakeClusters ? { to: '/clusters' } : null,
    })
    steps.push({
      title: 'Or enrol a device',
      why: mayMakeJoinTokens
        ? 'A device is a machine outside of clusters, such as a Raspberry Pi in a shop.'
        : 'Ask an administrator for a join token.',
      action: 'Make join token',
      to: mayMakeJoinTokens ? { to: '/join-tokens' } : null,
    })
  } else if (counts.clusters > 0 && counts.nodes === 0) {
    steps.push({
      title: 'Add a node',
      why: mayMakeClusters
        ? 'Open the cluster, choose “Add a node”, and run the command it shows on a machine with Docker.'
        : 'No machine has joined yet. Ask an administrator to add one.',
      action: 'Choose cluster',
      to: mayMakeClusters ? { to: '/clusters' } : null,
    })
  }
  if (counts.clusters > 0 && counts.services === 0) {
    steps.push({
      title: 'Create a service',
      why: 'A service is what shall run: an image, how often, and how to tell that it serves.',
      action: 'Create service',
      to: mayMakeServices ? { to: '/services/new' } : null,
    })
  }
  for (const { id, name } of waiting) {
    steps.push({
      title: `Push an image for ${name}`,
      why: 'It is deployed as soon as the push is done. The page of the service has the commands.',
      action: 'Show commands',
      to: { to: '/services/$id', params: { id } },
    })
  }
  return steps.map((step, index) => ({ ...step, isFirst: index === 0 }))
}
