import type { ChangeEntry, Cluster, Identity, LogLine, Service } from '@freehold/contracts'
import { expectTypeOf, test } from 'vitest'
import type { Client } from './types.ts'

type Parameter<F extends (...input: never[]) => unknown> = Parameters<F>[0]

test('inputs and outputs are those of the contract', () => {
  expectTypeOf<Awaited<ReturnType<Client['auth']['identity']>>>().toEqualTypeOf<Identity>()
  expectTypeOf<Awaited<ReturnType<Client['services']['get']>>>().toExtend<Service>()
  expectTypeOf<Awaited<ReturnType<Client['clusters']['list']>>['items'][number]>().toExtend<Cluster>()
  expectTypeOf<Awaited<ReturnType<Client['services']['delete']>>>().toEqualTypeOf<undefined>()
  expectTypeOf<ReturnType<Client['services']['logs']>>().toEqualTypeOf<AsyncIterable<LogLine>>()
  expectTypeOf<ReturnType<Client['changes']['watch']>>().toEqualTypeOf<AsyncIterable<ChangeEntry>>()
})

test('what a route needs is required, what has a default is not', () => {
  expectTypeOf<[]>().toExtend<Parameters<Client['services']['list']>>()
  expectTypeOf<[]>().not.toExtend<Parameters<Client['services']['get']>>()
  expectTypeOf<[]>().not.toExtend<Parameters<Client['auth']['login']>>()
  expectTypeOf<{ body: { data: { name: string; clusterId: string } } }>().toExtend<
    Parameter<Client['services']['create']>
  >()
  expectTypeOf<{ body: { data: { name: string } } }>().not.toExtend<Parameter<Client['services']['create']>>()
})

test('queries are written as values, and only those the route knows', () => {
  type Query = NonNullable<NonNullable<Parameter<Client['services']['list']>>['query']>
  expectTypeOf<Query['limit']>().toEqualTypeOf<number | undefined>()
  expectTypeOf<Query['clusterId']>().toEqualTypeOf<string | undefined>()
  expectTypeOf<Query>().not.toHaveProperty('nodeId')
  type Logs = NonNullable<Parameter<Client['services']['logs']>['query']>
  expectTypeOf<Logs['follow']>().toEqualTypeOf<boolean | undefined>()
})
