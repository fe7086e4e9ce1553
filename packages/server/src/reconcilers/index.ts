/**
 * The list of everything the control plane does by itself. Each job takes no input, may run at any moment, runs one at
 * a time, by signal and by period, and finds by itself what there is to do; so a job that was missed is done by the next.
 */
export { createReconcilers, type Reconcilers } from './reconcilers.ts'
