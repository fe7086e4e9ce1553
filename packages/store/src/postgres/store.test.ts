import { afterAll, describe } from 'vitest'
import { startPostgres } from '../../../../tools/postgres.ts'
import { storeSuite } from '../suite.ts'
import { describeReplicas } from './replicas.ts'
import { makePostgresBed } from './test-bed.ts'

const server = await startPostgres()

if ('skipped' in server) {
  console.warn(`Tests of the store on PostgreSQL are skipped. ${server.skipped}`)
  describe.skip('without PostgreSQL', () => storeSuite('PostgreSQL', neverMade))
} else {
  afterAll(() => server.stop())
  storeSuite('PostgreSQL', () => makePostgresBed(server))
  describeReplicas(() => makePostgresBed(server))
}

async function neverMade(): Promise<never> {
  throw new Error('PostgreSQL was skipped.')
}
