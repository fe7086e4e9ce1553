import { describe } from 'vitest'
export function describeReplicas(_make: unknown): void {
  describe.todo('x')
}
