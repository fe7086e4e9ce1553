import { defineConfig } from 'vitest/config'

/** Stories on real parts: a real server, real agents, a real Docker Swarm, a real browser. One file at a time. */
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts', 'packages/*/src/**/*.browser.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    fileParallelism: false,
  },
})
