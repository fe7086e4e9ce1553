/**
 * A program of ours that runs as a child of the control plane: started with what it needs and nothing of ours besides, its
 * lines passed on, ended in good order. Whether and when it is started again is its owner's matter.
 */
export { inheritedEnvironment, runChildProgram } from './child-program.ts'
