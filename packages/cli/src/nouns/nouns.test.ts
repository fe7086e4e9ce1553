import { kinds, type Route, routes } from '@freehold/contracts'
import { describe, expect, test } from 'vitest'
import { createProgram } from '../program.ts'
import { nowhere } from '../reference.ts'
import { columnsOf } from './columns.ts'
import { fieldFlags } from './flags.ts'
import { listNouns } from './noun.ts'
import { parsePort, parseVolume } from './service-flags.ts'

const nouns = listNouns()
const program = createProgram({ ...nowhere(), exit: { code: 0 }, said: [] })

describe('commands made from the contract', () => {
  test('there is a command for every kind that has routes, with every verb of the contract', () => {
    const expected = Object.entries(routes as unknown as Record<string, Record<string, Route>>).filter(([plural]) =>
      Object.values(kinds).some((kind) => kind.plural === plural),
    )
    expect(expected.length).toBeGreaterThanOrEqual(9)
    for (const [plural, verbs] of expected) {
      const command = program.commands.find((each) => each.name() === plural)
      const has = command?.commands.flatMap((each) => [each.name(), ...each.aliases()]) ?? []
      const special = {
        deploy: 'deploy',
        logs: 'logs',
        registryTarget: 'push-help',
        previewRetention: 'retention',
        applyRetention: 'retention',
        summaries: 'overview',
        tag: 'inspect',
        manifest: 'inspect',
        deletions: 'delete-tag',
        act: 'reboot',
      } as Record<string, string>
      const top = program.commands.map((each) => each.name())
      for (const verb of Object.keys(verbs)) expect([...has, ...top]).toContain(special[verb] ?? verb)
      expect(has).toEqual(expect.arrayContaining(['list', 'get', 'watch']))
    }
  })

  test('no password can be given in argv', () => {
    for (const noun of nouns) {
      for (const fields of [noun.createFields, noun.updateFields]) {
        expect(fieldFlags(fields).filter(({ flag }) => /password|passphrase|token$|secret/.test(flag))).toEqual([])
      }
    }
  })

  test('fields that refer to another noun take its name', () => {
    const services = nouns.find((noun) => noun.plural === 'services')
    const flags = fieldFlags(services?.createFields ?? {})
    expect(flags.find(({ field }) => field === 'clusterId')).toMatchObject({ flag: 'cluster', reference: 'clusters' })
    const groups = fieldFlags(nouns.find((noun) => noun.plural === 'device-groups')?.createFields ?? {})
    expect(groups.map(({ flag, reference }) => [flag, reference])).toEqual(
      expect.arrayContaining([
        ['app-channel', 'channels'],
        ['pinned-host-release', 'releases'],
      ]),
    )
    expect(flags.find(({ field }) => field === 'scaleFactor')).toMatchObject({ flag: 'replicas' })
  })

  test('update offers what an update may change, and nothing else', () => {
    const fieldsOfUpdate = (plural: string) =>
      Object.keys(nouns.find((noun) => noun.plural === plural)?.updateFields ?? {})
    expect(fieldsOfUpdate('releases')).toEqual(['notes'])
    expect(fieldsOfUpdate('devices')).toEqual(['name', 'description', 'pinnedAppReleaseId', 'pinnedHostReleaseId'])
    expect(fieldsOfUpdate('services')).toContain('scaleFactor')
  })

  test('a table shows a resource nothing has observed yet', () => {
    for (const noun of nouns) {
      const kind = Object.values(kinds).find((each) => each.name === noun.kind)
      const resource = {
        kind: noun.kind,
        id: '019a0000-0000-7000-8000-000000000000',
        data: {},
        status: (kind?.initialStatus ?? {}) as Record<string, unknown>,
        generation: 1,
        version: 1,
        labels: {},
        createdAt: '2026-01-01T00:00:00Z',
        updatedAt: '2026-01-01T00:00:00Z',
      }
      for (const column of columnsOf(noun.plural)) {
        expect(typeof column.cell(resource, { now: new Date(), nameOfId: String })).toBe('string')
      }
    }
  })
})

describe('ports and volumes', () => {
  test('are written short', () => {
    expect(parsePort('8080')).toEqual({ target: 8080, published: 8080, protocol: 'tcp' })
    expect(parsePort('53:5353/udp')).toEqual({ target: 53, published: 5353, protocol: 'udp' })
    expect(parseVolume('data:/var/lib/data:ro')).toEqual({ name: 'data', path: '/var/lib/data', readOnly: true })
  })

  test.each(['', 'http', '80:', '80:x', '80/sctp', '1:2:3'])('"%s" is no port', (text) => {
    expect(() => parsePort(text)).toThrow(/is no port/)
  })

  test.each(['', 'data', 'data:relative', ':/x', 'a:/b:rx', 'a:/b:ro:z'])('"%s" is no volume', (text) => {
    expect(() => parseVolume(text)).toThrow(/is no volume/)
  })
})
