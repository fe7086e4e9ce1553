import { describe } from 'vitest'
import { describeCrashes } from './suite/crashes.ts'
import { describeFacts } from './suite/facts.ts'
import { describeLists } from './suite/lists.ts'
import { describeLog } from './suite/log.ts'
import { describeModel } from './suite/model.ts'
import { describeResources } from './suite/resources.ts'
import type { MakeTestBed } from './suite/test-bed.ts'
import { describeTransactions } from './suite/transactions.ts'

/** What every engine must do, as tests. `make` gives each test a store of its own. */
export function storeSuite(engine: string, make: MakeTestBed): void {
  describe(`the store on ${engine}`, () => {
    describeResources(make)
    describeLists(make)
    describeTransactions(make)
    describeLog(make)
    describeFacts(make)
    describeModel(make)
    describeCrashes(make)
  })
}
