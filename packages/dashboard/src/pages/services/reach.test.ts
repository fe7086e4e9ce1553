import { expect, test } from 'vitest'
import { crowding, reachableAt } from './reach.ts'

const task = (swarmNodeId: string | null, state = 'running', revisionId = 'r2') => ({ swarmNodeId, state, revisionId })
const node = (swarmNodeId: string, address: string | null) => ({ status: { swarmNodeId, address } })
const usual = {
  ports: [
    { target: 80, published: 8080, protocol: 'tcp' as const },
    { target: 53, published: 53, protocol: 'udp' as const },
  ],
  revisionId: 'r2',
  tasks: [task('a')],
  nodes: [node('a', '192.0.2.1'), node('b', '2001:db8::2')],
  isLocal: false,
  ownHost: 'freehold.example',
}

test('a service is reached on each machine that runs it, by TCP ports only', () => {
  expect(reachableAt(usual)).toEqual(['http://192.0.2.1:8080/'])
  expect(reachableAt({ ...usual, tasks: [task('a'), task('b'), task('a')] })).toEqual([
    'http://192.0.2.1:8080/',
    'http://[2001:db8::2]:8080/',
  ])
})

test('what does not run, or is of another revision, is not offered', () => {
  expect(reachableAt({ ...usual, tasks: [] })).toEqual([])
  expect(reachableAt({ ...usual, tasks: [task('a', 'failed'), task('b', 'running', 'r1')] })).toEqual([])
})

test.each([
  ['the local cluster', { isLocal: true }],
  ['a machine without an agent', { nodes: [] }],
  ['a machine whose address is not known', { nodes: [node('a', null)] }],
  ['a loopback address', { nodes: [node('a', '127.0.0.1')] }],
  ['the address of no machine', { nodes: [node('a', '0.0.0.0')] }],
  ['a loopback address of IPv6', { nodes: [node('a', '::1')] }],
  ['a task without a machine', { tasks: [task(null)], nodes: [node('a', '192.0.2.1')] }],
])('the host of this page stands in for %s', (_, part) => {
  expect(reachableAt({ ...usual, ...part })).toEqual(['http://freehold.example:8080/'])
})

test('a replica too many for a published port is said, and how many will run', () => {
  expect(crowding({ replicas: 3, machines: 1, isPublished: true })).toBe(
    'A published port allows one replica per node. This cluster has one node, so only one of 3 replicas will run.',
  )
  expect(crowding({ replicas: 3, machines: 2, isPublished: true })).toContain('2 nodes, so only 2 of 3 replicas')
})

test.each([
  ['as many replicas as machines', { replicas: 2, machines: 2, isPublished: true }],
  ['no published port', { replicas: 9, machines: 2, isPublished: false }],
  ['no machine known yet', { replicas: 9, machines: 0, isPublished: true }],
  ['no number typed', { replicas: Number.NaN, machines: 2, isPublished: true }],
])('nothing is said of %s', (_, options) => {
  expect(crowding(options)).toBeUndefined()
})
