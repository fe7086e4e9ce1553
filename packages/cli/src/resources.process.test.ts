import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CliResource, commandsOf, startCli, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

const { freehold, json, signIn } = commandsOf(() => directory)

describe('clusters', () => {
  test('are made, shown, changed and deleted by name', async () => {
    const made = await freehold(['clusters', 'create', 'east', '--description', 'the first', '--label', 'site=a'])
    expect(made).toMatchObject({
      code: 0,
      stdout: 'Created cluster east.\n',
      stderr: expect.stringContaining('join-code east'),
    })
    expect(await freehold(['cluster', 'create', 'east'])).toMatchObject({ code: 5, stdout: '' })
    expect(await json(['clusters', 'get', 'east'])).toMatchObject({
      kind: 'cluster',
      labels: { site: 'a' },
      data: { description: 'the first' },
    })
    expect((await freehold(['clusters', 'get', 'east'])).stdout).toMatch(/^kind: cluster\nid: /)
    await json(['clusters', 'update', 'east', '--set', 'description=changed', '--label', 'tier=1'])
    expect(await json(['clusters', 'get', 'east'])).toMatchObject({
      labels: { site: 'a', tier: '1' },
      data: { description: 'changed' },
    })
    expect(await freehold(['clusters', 'update', 'east'])).toMatchObject({ code: 2 })
    expect(await freehold(['clusters', 'get', 'nowhere'])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('clusters list'),
    })
    expect((await freehold(['clusters', 'create', 'west'])).code).toBe(0)
    expect((await freehold(['clusters', 'delete', 'west'])).stdout).toBe('Deleted cluster west.\n')
  })

  test('are listed as a table, by label, and as one JSON array', async () => {
    expect((await freehold(['clusters', 'list'])).stdout).toMatch(
      /^NAME\s+STATE\s+MACHINES\s+ENGINE\s+AGE\s+MESSAGE\neast\s+waiting\s+0/,
    )
    expect(
      await json<CliResource[]>(['clusters', 'list', '--selector', 'site=a', '--selector', 'tier=1']),
    ).toHaveLength(1)
    expect(await json<CliResource[]>(['clusters', 'list', '--selector', 'site=a', '--selector', 'tier=2'])).toEqual([])
    expect(await freehold(['clusters', 'list', '--search', 'nothing-like-it'])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('There are no clusters'),
    })
  })

  test('are joined by a code that is shown once and can be withdrawn', async () => {
    const code = await freehold(['clusters', 'join-code', 'east', '--uses', '2', '--expires-in', '600'])
    expect(code).toMatchObject({ code: 0, stdout: expect.stringContaining('JUMPCODE') })
    const [enrolment] = await json<CliResource[]>(['enrolments', 'list', '--cluster', 'east'])
    expect(enrolment?.data).toMatchObject({ usesLeft: 2 })
    expect(await freehold(['enrolments', 'delete', String(enrolment?.data.prefix)])).toMatchObject({ code: 0 })
    expect(await json<CliResource[]>(['enrolments', 'list'])).toEqual([])
    const made = await json<{ jumpCode: string }>(['enrolments', 'create', '--cluster', 'east', '--uses', '3'])
    expect(made.jumpCode).toMatch(/\S{10,}/)
  })

  test('have nodes; one that is not there cannot be revoked', async () => {
    expect(await json<CliResource[]>(['nodes', 'list', '--cluster', 'east'])).toEqual([])
    expect(await freehold(['nodes', 'revoke', 'nothing'])).toMatchObject({ code: 4, stdout: '' })
  })
})

describe('services', () => {
  test('are made from flags, with names in place of ids', async () => {
    const environmentFile = join(directory, 'web.env')
    await writeFile(environmentFile, '# settings\nLOG_LEVEL=info\n')
    const service = await json(
      [
        ...[
          'services',
          'create',
          'web',
          '--cluster',
          'east',
          '--replicas',
          '2',
          '--web-port',
          '8080',
          '--port',
          '8080:80',
        ],
        ...[
          '--env',
          'A=1',
          '--env',
          'FROM_SHELL',
          '--env-file',
          environmentFile,
          '--health-path',
          '/health',
          '--memory',
          '128',
        ],
        ...[
          '--volume',
          'data:/data:ro',
          '--deadline',
          '30',
          '--no-deploy-on-push',
          '--set',
          'stopGraceSeconds=3',
          '--label',
          'team=a',
        ],
      ],
      { environment: { FROM_SHELL: 'shell' } },
    )
    const { id: clusterId } = await json(['clusters', 'get', 'east'])
    expect(service).toMatchObject({
      labels: { team: 'a' },
      data: {
        name: 'web',
        clusterId,
        scaleFactor: 2,
        deployOnPush: false,
        stopGraceSeconds: 3,
        environment: { A: '1', FROM_SHELL: 'shell', LOG_LEVEL: 'info' },
        ports: { web: 8080, published: [{ target: 8080, published: 80, protocol: 'tcp' }] },
        resources: { memorySizeMB: 128 },
        volumes: [{ name: 'data', path: '/data', readOnly: true }],
        healthCheck: { type: 'http', path: '/health' },
        rollout: { deadlineSeconds: 30 },
      },
    })
  })

  test('change only in what is named; lists by entry', async () => {
    const updated = await json([
      ...['services', 'update', 'web', '--env', 'B=2', '--unset-env', 'A', '--health-tcp', '--replicas', '1'],
      ...['--set', 'ports.published.0.published=8000', '--unset', 'resources.memorySizeMB'],
    ])
    expect(updated.data).toMatchObject({
      scaleFactor: 1,
      environment: { B: '2', FROM_SHELL: 'shell', LOG_LEVEL: 'info' },
      healthCheck: { type: 'tcp' },
      ports: { published: [{ target: 8080, published: 8000 }] },
    })
    expect(updated.data.environment).not.toHaveProperty('A')
    expect(updated.data.resources).not.toHaveProperty('memorySizeMB')
    expect((await json(['services', 'update', 'web', '--no-health-check'])).data).not.toHaveProperty('healthCheck')
  })

  test('refuse a change made on an old version with 5', async () => {
    const before = await json(['services', 'get', 'web'])
    await json(['services', 'update', 'web', '--description', 'newer'])
    const stale = await freehold([
      'services',
      'update',
      'web',
      '--description',
      'older',
      '--if-version',
      String(before.version),
    ])
    expect(stale).toMatchObject({ code: 5, stdout: '' })
    expect(await freehold(['services', 'delete', 'web', '--if-version', String(before.version)])).toMatchObject({
      code: 5,
    })
  })

  test('name the field that is wrong, and in a file its line', async () => {
    const wrong = await freehold(['services', 'update', 'web', '--set', 'scaleFactor=many', '--set', 'nosuch=1'])
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toMatch(/scaleFactor/)
    expect(wrong.stderr).toMatch(/nosuch/)
    const file = join(directory, 'service.yaml')
    const { id: clusterId } = await json(['clusters', 'get', 'east'])
    await writeFile(file, `name: other\nclusterId: ${clusterId}\nports:\n  web: 99999\n`)
    expect(await freehold(['services', 'create', '-f', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${file}:4`),
    })
  })

  test('come from a file or standard input as get shows them', async () => {
    const shown = await json(['services', 'get', 'web'])
    const input = JSON.stringify({
      ...shown,
      data: { ...shown.data, name: 'copy', imageId: undefined, ports: { web: 8080 } },
    })
    expect((await json(['services', 'create', '-f', '-'], { input })).data).toMatchObject({
      name: 'copy',
      environment: { B: '2' },
    })
    expect(
      await freehold(['services', 'update', 'copy', '-f', '-'], { input: 'description: by YAML\n' }),
    ).toMatchObject({ code: 0 })
    expect((await json(['services', 'get', 'copy'])).data).toMatchObject({ description: 'by YAML' })
  })

  test('are listed with their cluster by name', async () => {
    const { stdout } = await freehold(['services', 'list', '--cluster', 'east'])
    expect(stdout).toMatch(/^NAME\s+CLUSTER\s+STATE/)
    expect(stdout).toMatch(/^web\s+east\s+waiting-for-image\s+/m)
    expect(await freehold(['services', 'list', '--cluster', 'nowhere'])).toMatchObject({ code: 4 })
  })

  test('say where their image is pushed', async () => {
    const { stdout } = await freehold(['services', 'push-help', 'web'])
    expect(stdout).toMatch(
      /^docker login \S+\ndocker tag my-image \S+\/workloads\/web-[0-9a-f]{8}:latest\ndocker push \S+$/m,
    )
  })

  test('cannot be deployed without an image, have no rollout and no logs yet', async () => {
    expect(await freehold(['deploy', 'web'])).toMatchObject({ code: 5, stdout: '' })
    expect(await freehold(['rollout', 'watch', 'web'])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('push-help web'),
    })
    expect(await freehold(['logs', 'web'])).toMatchObject({ code: 1, stdout: '' })
    expect(await freehold(['deploy', 'web', '--revision', '7'])).toMatchObject({ code: 4 })
    expect(await freehold(['revisions', 'get', 'web/1'])).toMatchObject({ code: 4 })
    expect(await freehold(['revisions', 'get', 'web'])).toMatchObject({ code: 2 })
  })
})

describe('rollouts', () => {
  test('begin with deploy, are watched, and aborted', async () => {
    await json(['images', 'create', 'elsewhere/nginx', '--external', 'docker.io/library/nginx'])
    expect((await freehold(['images', 'list'])).stdout).toMatch(/^elsewhere\/nginx\s+docker\.io\/library\/nginx/m)
    await json(['services', 'create', 'proxy', '--cluster', 'east', '--image', 'elsewhere/nginx', '--deadline', '3600'])
    const accepted = await json<{ rolloutId: string; revisionNumber: number }>([
      'deploy',
      'proxy',
      '--image-version',
      '1.27',
      '--no-wait',
    ])
    expect(accepted.revisionNumber).toBeGreaterThan(0)
    const late = await freehold(['rollouts', 'watch', 'proxy', '--timeout', '1'])
    expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('goes on by itself') })
    const watch = startCli(['rollout', 'watch', accepted.rolloutId, '--json'], { XDG_CONFIG_HOME: directory })
    await watch.said(/\n/)
    const aborted = await freehold(['rollouts', 'abort', 'proxy'])
    expect(aborted).toMatchObject({ code: 0 })
    watch.child.kill('SIGINT')
    const { code, stdout } = await watch.finished
    expect([1, 130]).toContain(code)
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({ kind: 'rollout', id: accepted.rolloutId })
    expect((await freehold(['rollouts', 'list', '--service', 'proxy'])).stdout).toMatch(/^proxy\s+\d+\s+/m)
    expect((await json(['revisions', 'get', `proxy/${accepted.revisionNumber}`])).data).toMatchObject({
      imageVersion: '1.27',
    })
  })
})

describe('watching', () => {
  test('shows each change of one noun as it happens', async () => {
    const watch = startCli(['clusters', 'watch', '--since', '0'], { XDG_CONFIG_HOME: directory })
    await watch.said(/east {2}created by admin/)
    await json(['clusters', 'create', 'later'])
    await watch.said(/later {2}created by admin/)
    watch.child.kill('SIGINT')
    expect(await watch.finished).toMatchObject({ code: 130 })
    await json(['clusters', 'delete', 'later'])
  })
})

describe('documents', () => {
  test('exported, planned and applied on an empty server, give the same state', async () => {
    const exported = join(directory, 'state')
    expect(await freehold(['export', '-o', exported])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Wrote \d+ documents/),
    })
    expect(await readFile(join(exported, 'services', 'web.yaml'), 'utf8')).toMatch(
      /^kind: service\nname: web\nlabels:\n {2}team: a\nspec:\n/,
    )
    expect(await freehold(['plan', exported, '--exit-code'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('No changes'),
    })

    const empty = await startTestServer()
    try {
      await signIn(empty, 'empty')
      const plan = await freehold(['plan', exported, '--exit-code', '--context', 'empty'])
      expect(plan).toMatchObject({ code: 2, stdout: expect.stringMatching(/^\+ cluster east$/m) })
      expect(plan.stdout).toMatch(/^\+ service web$/m)
      expect(await freehold(['apply', exported, '--context', 'empty'])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('--yes'),
      })
      expect(await json<CliResource[]>(['clusters', 'list', '--context', 'empty'])).toEqual([])
      expect(await freehold(['apply', exported, '--yes', '--context', 'empty'])).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('Applied:'),
      })
      const again = join(directory, 'again')
      await freehold(['export', '-o', again, '--context', 'empty'])
      const one = await freehold(['export', '--context', 'default'])
      const other = await freehold(['export', '--context', 'empty'])
      expect(other.stdout).toBe(one.stdout)
      expect(await freehold(['apply', exported, '--yes', '--json', '--context', 'empty'])).toMatchObject({
        code: 0,
        stdout: '{\n  "changes": []\n}\n',
      })
    } finally {
      await empty.stop()
      await freehold(['contexts', 'use', 'default'])
    }
  })

  test('show what would change, and prune only when asked', async () => {
    const edited = join(directory, 'edited')
    await freehold(['export', '-o', edited])
    const file = join(edited, 'services', 'web.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('scaleFactor: 1', 'scaleFactor: 4'))
    await rm(join(edited, 'services', 'copy.yaml'))
    const plan = await freehold(['plan', edited])
    expect(plan.stdout).toMatch(/^~ service web\n {4}\S*scaleFactor: 1 → 4$/m)
    expect(plan.stdout).not.toContain('- service copy')
    expect((await freehold(['plan', edited, '--prune'])).stdout).toMatch(/^- service copy$/m)
    expect(await freehold(['apply', edited, '--prune', '--yes'])).toMatchObject({ code: 0 })
    expect((await json(['services', 'get', 'web'])).data).toMatchObject({ scaleFactor: 4 })
    expect(await freehold(['services', 'get', 'copy'])).toMatchObject({ code: 4 })
  })

  test('with a fault are told by file and line before anything is sent', async () => {
    const file = join(directory, 'broken.yaml')
    await writeFile(file, 'kind: service\nname: web\nspec:\n  cluster: east\n  replicas: 2\n')
    expect(await freehold(['apply', file, '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`${file}:5: spec.replicas`),
    })
    await writeFile(file, 'kind: service\nname: [web\n')
    expect(await freehold(['plan', file])).toMatchObject({ code: 2, stderr: expect.stringContaining(`${file}:`) })
    await writeFile(file, 'kind: service\nname: lost\nspec:\n  cluster: nowhere\n')
    const lost = await freehold(['plan', file])
    expect([2, 4, 5]).toContain(lost.code)
    expect(lost.stderr).toContain('nowhere')
  })
})

describe('completion', () => {
  const complete = async (...words: string[]) =>
    (await freehold(['__complete', '--', ...words])).stdout.trim().split('\n')

  test('knows commands, flags, choices and the names on the server', async () => {
    expect(await complete('serv')).toEqual(['services'])
    expect(await complete('services', 'up')).toEqual(['update'])
    expect(await complete('services', 'create', '--health-p')).toEqual(['--health-path', '--health-port'])
    expect(await complete('services', 'create', '--strategy', '')).toEqual(['auto', 'recreate'])
    expect(await complete('services', 'get', 'w')).toEqual(['web'])
    expect(await complete('services', 'list', '--cluster', '')).toEqual(['east'])
    expect(await complete('deploy', 'pr')).toEqual(['proxy'])
  })

  test('gives none where the server cannot be asked, without a word', async () => {
    const environment = { FREEHOLD_URL: 'http://127.0.0.1:9', FREEHOLD_TOKEN: 'x' }
    expect(await freehold(['__complete', '--', 'services', 'get', ''], { environment })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '',
    })
  })

  test.each(['bash', 'zsh', 'fish'])('has a script for %s', async (shell) => {
    expect((await freehold(['completion', shell])).stdout).toContain('freehold __complete --')
  })
})

test('deletes what it made', async () => {
  expect(await freehold(['clusters', 'delete', 'east'])).toMatchObject({ code: 5 })
  expect(await freehold(['services', 'delete', 'web', 'proxy'])).toMatchObject({
    code: 0,
    stdout: 'Deleted service web.\nDeleted service proxy.\n',
  })
})

test('scrub says what reading the registry anew found, and begins it', async () => {
  expect((await freehold(['scrub'])).stdout).toBe('No pass has ended yet.\nNo damage is known.\n')
  expect(await freehold(['scrub', '--run'])).toMatchObject({ code: 0, stdout: expect.stringContaining('No damage') })
  await expect
    .poll(async () => (await freehold(['scrub'])).stdout)
    .toMatch(/^Last pass: 0 blobs, 0 B, ended .+ ago\.\nNo damage is known\.\n$/)
  expect(await json(['scrub'])).toMatchObject({ running: null, damagedBlobs: 0, lastPass: { checkedBlobs: 0 } })
  expect(await json(['damaged-blobs', 'list'])).toEqual([])
})
