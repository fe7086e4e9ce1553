/** Adds up what the phases of a run left in the given folder and ends with one line of counts. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const [folder = ''] = process.argv.slice(2)
const counts = { passed: 0, failed: 0, skipped: 0 }
const phases = readdirSync(folder)
  .filter((name) => name.endsWith('.code'))
  .map((name) => name.slice(0, -'.code'.length))
for (const phase of phases) {
  const passed = readFileSync(join(folder, `${phase}.code`), 'utf8').trim() === '0'
  const report = readReport(join(folder, `${phase}.json`))
  const failedTests = report?.numFailedTests ?? 0
  if (report === undefined && passed) counts.passed += 1
  counts.passed += report?.numPassedTests ?? 0
  counts.failed += failedTests
  for (const failure of failuresIn(report)) console.log(`FAILED in ${phase}: ${failure}`)
  counts.skipped += (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  // A phase may fail without a failed test: a file that does not load, or a program that never came to its tests.
  if (!passed && failedTests === 0) {
    counts.failed += 1
    console.log(`The phase "${phase}" failed outside of any test.`)
  }
}
console.log(
  `${counts.passed} passed, ${counts.failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`,
)
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1

/** One line for each failed test, and for each file that failed as a whole: where, and the beginning of why. */
function failuresIn(report) {
  return (report?.testResults ?? []).flatMap(({ name, message, assertionResults = [] }) => {
    const failed = assertionResults.filter(({ status }) => status === 'failed')
    const lines = failed.map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join(' ')}`)
    if (lines.length === 0 && message) lines.push(message)
    return lines.map((line) => `${relative(process.cwd(), name)} > ${line.replace(/\s+/g, ' ').slice(0, 600)}`)
  })
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}
