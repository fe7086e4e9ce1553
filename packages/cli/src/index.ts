/**
 * The `freehold` command: a thin, honest face of the API for people and scripts. Its nouns are generated from the
 * contract, so a new noun needs no code here. It decides nothing about services and clusters: the server does.
 * `main.ts` is the process; this is for what looks at the command from outside (its reference, its tests).
 */
export { createProgram, run } from './program.ts'
export { cliReference } from './reference.ts'
