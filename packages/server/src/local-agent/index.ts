/**
 * The cluster agent of this machine's own Docker engine: found, enrolled and kept running as a child process, so that
 * one command is enough for a first cluster. It is an agent like any other: it dials the control plane and holds no
 * more rights than one on another machine.
 */
export { createLocalEnrolment } from './enrolment.ts'
export { createLocalAgent, type LocalAgent } from './local-agent.ts'
