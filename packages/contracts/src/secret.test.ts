import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Secret } from './secret.ts'

test('a secret shows its value only when it is asked to', () => {
  const secret = new Secret('hunter2')
  const forms = [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    inspect(secret, { showHidden: true }),
    String(secret),
  ]
  expect(forms.join()).not.toContain('hunter2')
  expect(secret.reveal()).toBe('hunter2')
})
