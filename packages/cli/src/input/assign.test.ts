import { serviceKind } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign, assignAll, mergeData, parseAssignment } from './assign.ts'

const schema = serviceKind.data
const set = (texts: string[], base?: Record<string, unknown>) =>
  assignAll({}, { assignments: texts.map(parseAssignment), schema, base })

describe('--set', () => {
  test('gives numbers, booleans and texts the type their field has', () => {
    expect(set(['scaleFactor=3', 'deployOnPush=false', 'imageVersion=15', 'environment.PORT=8080'])).toEqual({
      scaleFactor: 3,
      deployOnPush: false,
      imageVersion: '15',
      environment: { PORT: '8080' },
    })
  })

  test('takes a path with or without the leading data', () => {
    expect(set(['data.ports.web=80'])).toEqual(set(['ports.web=80']))
  })

  test('reads lists and objects as YAML', () => {
    expect(set(['command=["nginx", "-g"]', 'ports.published=[{target: 80, published: 8080}]'])).toEqual({
      command: ['nginx', '-g'],
      ports: { published: [{ target: 80, published: 8080 }] },
    })
  })

  test('changes one entry of a stored list and keeps the others', () => {
    const base = {
      ports: {
        published: [
          { target: 80, published: 8080 },
          { target: 81, published: 81 },
        ],
      },
    }
    expect(set(['ports.published.0.published=9090'], base)).toEqual({
      ports: {
        published: [
          { target: 80, published: 9090 },
          { target: 81, published: 81 },
        ],
      },
    })
  })

  test('keeps everything after the first equals sign', () => {
    expect(set(['environment.QUERY=a=b=c'])).toEqual({ environment: { QUERY: 'a=b=c' } })
  })

  test.each(['novalue', '=3', 'a..b=1', '__proto__.polluted=1', '.a=1'])('refuses %s', (text) => {
    expect(() => parseAssignment(text)).toThrow(expect.objectContaining({ exitCode: 2 }))
  })

  test('refuses an entry far behind the end of a list', () => {
    expect(() => set(['volumes.7.name=x'], { volumes: [] })).toThrow(/neither one of them nor the next/)
  })

  test('puts any value where the path says and leaves the rest alone', () => {
    const name = fc.stringMatching(/^[a-z]{1,5}$/)
    fc.assert(
      fc.property(
        fc.array(name, { minLength: 1, maxLength: 4 }),
        fc.integer(),
        fc.dictionary(name, fc.integer()),
        (path, value, target) => {
          const result = assign({ target, path, value, base: undefined })
          expect(path.reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], result)).toBe(value)
          for (const key of Object.keys(target)) if (key !== path[0]) expect(result).toHaveProperty(key, target[key])
        },
      ),
    )
  })
})

test('merging keeps what the later one does not name and replaces lists whole', () => {
  expect(mergeData({ a: { b: 1, c: [1, 2] }, d: 4 }, { a: { c: [3] } })).toEqual({ a: { b: 1, c: [3] }, d: 4 })
})
