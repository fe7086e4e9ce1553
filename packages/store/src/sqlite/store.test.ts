import { storeSuite } from '../suite.ts'
import { makeSqliteBed } from './test-bed.ts'

storeSuite('SQLite', makeSqliteBed)
