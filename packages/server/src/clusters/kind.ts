import { createHash, randomBytes } from 'node:crypto'
import { type Enrolment, FreeholdError } from '@freehold/contracts'

const codePrefix = 'fhj_'
const shownLength = 10

/** A new JUMPCODE: 256 random bits, so that its plain SHA-256 may be stored. */
export function makeJumpCode(): { jumpCode: string; hash: string; prefix: string } {
  const jumpCode = `${codePrefix}${randomBytes(32).toString('base64url')}`
  return { jumpCode, hash: hashJumpCode(jumpCode), prefix: jumpCode.slice(0, shownLength) }
}

/** SHA-256 of a JUMPCODE in hex; surrounding blanks from copying do not count. */
export function hashJumpCode(jumpCode: string): string {
  return createHash('sha256').update(jumpCode.trim()).digest('hex')
}

/** Throws `wrong-credentials` with the sentence an operator needs where a code lets nobody in any more. */
export function checkEnrolment(enrolment: Enrolment | undefined, now: Date): asserts enrolment is Enrolment {
  if (enrolment === undefined) {
    throw new FreeholdError(
      'wrong-credentials',
      'This JUMPCODE is not known here. Make a new one on the page of the cluster.',
    )
  }
  if (Date.parse(enrolment.data.expiresAt) <= now.getTime()) {
    throw new FreeholdError(
      'wrong-credentials',
      `This JUMPCODE expired at ${enrolment.data.expiresAt}. Make a new one on the page of the cluster.`,
    )
  }
  if (enrolment.data.usesLeft < 1) {
    throw new FreeholdError(
      'wrong-credentials',
      'This JUMPCODE has been used up. Make a new one on the page of the cluster.',
    )
  }
}

/** What to run on the node, ready to copy; both values are free of characters a shell would read. */
export function agentCommand(options: { publicUrl: string; jumpCode: string }): string {
  return `CLOUDLY_URL=${options.publicUrl} JUMPCODE=${options.jumpCode} npm run agent`
}
