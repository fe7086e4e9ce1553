import { documentSchema } from '@freehold/contracts'
import { describe, expect, test } from 'vitest'
import { parseEnvironmentFile } from './environment-file.ts'
import { describeIssues, parseYaml } from './yaml.ts'

function faultsOf(text: string): string[] {
  return parseYaml(text, 'web.yaml').flatMap((document) => {
    const parsed = documentSchema.safeParse(document.value)
    return parsed.success ? [] : describeIssues(parsed.error.issues, document)
  })
}

describe('documents', () => {
  test('broken YAML is told with file, line and column', () => {
    expect(() => parseYaml('kind: service\nname: [web\nspec: {}\n', 'web.yaml')).toThrow(
      /web\.yaml:[234]:\d+ is not valid YAML/,
    )
  })

  test('a key written twice is a fault', () => {
    expect(() => parseYaml('name: a\nname: b\n', 'web.yaml')).toThrow(/web\.yaml:2:\d+/)
  })

  test('an unknown field is named with its line', () => {
    const text = 'kind: service\nname: web\nspec:\n  cluster: local\n  replikas: 3\n'
    expect(faultsOf(text)).toEqual(['web.yaml:5: spec.replikas: there is no such field'])
  })

  test('a wrong type is told where it stands, in the second document too', () => {
    const text =
      'kind: cluster\nname: local\nspec: {}\n---\nkind: service\nname: web\nspec:\n  cluster: local\n  scaleFactor: many\n'
    expect(faultsOf(text)).toEqual([expect.stringMatching(/^web\.yaml:9: spec\.scaleFactor: /)])
  })

  test('a fault in a list is told at its entry', () => {
    const text =
      'kind: service\nname: web\nspec:\n  cluster: local\n  ports:\n    published:\n      - target: 80\n        published: 99999\n'
    expect(faultsOf(text)).toEqual([expect.stringMatching(/^web\.yaml:8: spec\.ports\.published\.0\.published: /)])
  })

  test('a missing field is told at what should hold it', () => {
    expect(faultsOf('kind: service\nname: web\nspec:\n  scaleFactor: 1\n')).toEqual([
      expect.stringMatching(/^web\.yaml:4: spec\.cluster: |^web\.yaml:3: spec\.cluster: /),
    ])
  })

  test('aliases that would grow without bound are refused', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`),
    ]
    expect(() => parseYaml(bomb.join('\n'), 'bomb.yaml')).toThrow(/bomb\.yaml cannot be read/)
  })
})

describe('files of variables', () => {
  test('skip empty lines and comments and keep values as they stand', () => {
    expect(parseEnvironmentFile('# a comment\n\nA=1\r\nB= two = 2 \n', 'x.env')).toEqual({ A: '1', B: ' two = 2 ' })
  })

  test('name the line that is wrong, never what it says', () => {
    expect(() => parseEnvironmentFile('A=1\nhunter2\n', 'x.env')).toThrow(/^x\.env:2 is not written KEY=value\.$/)
  })
})
