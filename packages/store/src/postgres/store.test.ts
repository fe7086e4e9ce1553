import { afterAll, describe } from 'vitest'
import { startPostgres } from '../../../../tools/postgres.ts'
import { storeSuite } from '../suite.ts'
import { describeReplicas } from './replicas.ts'
import { makePostgresBed } from './test-bed.ts'

const server = await startPostgres()

if ('skipped' in server) {
  describe.skip(`the store on PostgreSQL. ${server.skipped}`, () => storeSuite('PostgreSQL', neverMade))
} else {
  afterAll(() => server.stop())
  storeSuite('PostgreSQL', () => makePostgresBed(server))
  describeReplicas(() => makePostgresBed(server))
}

async function neverMade(): Promise<never> {
  throw new Error('PostgreSQL was skipped.')
}
