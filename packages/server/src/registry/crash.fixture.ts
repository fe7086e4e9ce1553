/** A registry in a process of its own, to be killed. Arguments: directory, port. Prints `ready`. */
import { startTestRegistry } from './testing.ts'

const [, , directory = '', port = '0'] = process.argv
const registry = await startTestRegistry({ directory, port: Number(port) })
console.log(`ready ${registry.host}`)
