import { expect, test } from 'vitest'
import { planRoutes } from './plan.ts'
import { keptLabelsSchema, labelsSchema, oneLine } from './resource.ts'

const breaksAndControls = ['\n', '\r', '\t', '\0', '\u001b', '\u007f', '\u0085', '\u2028', '\u2029', '\ud800', '\u202e']

test.each(breaksAndControls.map((character) => [JSON.stringify(character), character]))(
  'a label with %s in its value is refused with what is wrong',
  (_, character) => {
    for (const value of [character, `a${character}b`, `ab${character}`]) {
      const { error } = labelsSchema.safeParse({ site: value })
      expect(error?.issues).toMatchObject([
        { path: ['site'], message: 'must be one line, without control characters such as tabs and line breaks' },
      ])
    }
  },
)

test('a label of old is still shown, but not written again', () => {
  const labels = { site: 'a\tb' }
  expect(keptLabelsSchema.safeParse(labels).success).toBe(true)
  const documents = [{ kind: 'cluster', name: 'local', labels, spec: {} }]
  expect(planRoutes.plan.export.output.safeParse({ documents, version: 1 }).success).toBe(true)
  expect(planRoutes.plan.apply.body.safeParse({ documents }).error?.issues).toMatchObject([
    { path: ['documents', 0, 'labels', 'site'], message: expect.stringMatching(/^must be one line/) },
  ])
})

test.each(['', 'Köln', 'shop 7, "left" side', '東京', 'مرحبا', '👩‍🔧', 'a\u00a0b'])('%j is one line', (value) => {
  expect(oneLine.safeParse(value).success).toBe(true)
  expect(labelsSchema.safeParse({ site: value }).success).toBe(true)
})
