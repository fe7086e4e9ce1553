/**
 * The build worker of this machine: a child process that runs only while there is a build for it, so that one command is
 * enough to make images. It is a worker like any other, spoken to over loopback; which builds it gets is not decided here.
 */
export { createLocalBuildWorker, type LocalBuildWorker } from './local-build-worker.ts'
