/** Saves three states one after the other and says of each when it is saved. */
import { createState, openStateFile } from './index.ts'

const file = openStateFile(process.argv[2] ?? '')
const state = createState()
for (const nodeToken of ['token-of-the-first', 'token-of-the-second', 'token-of-the-third']) {
  await file.save({ ...state, nodeToken })
  process.stdout.write(`saved ${nodeToken}\n`)
}
