import { createHash } from 'node:crypto'
import { kinds } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { openSqliteStore } from '@freehold/store'
import { pino } from 'pino'
import { createSealer, Secret } from '../secrets/index.ts'
import { createUpdatesNoun } from './index.ts'

/** Changes a repository again and again until it is killed; says each release when it is on disk. */
const [directory = '', round = '0'] = process.argv.slice(2)
const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
const caller = { identity: null, actor: { type: 'system', id: 'test', name: 'test' } } as const
const noun = createUpdatesNoun({
  store,
  blobs: { send: async () => {} },
  sealer: createSealer(new Secret(Buffer.alloc(32, 7))),
  clock: systemClock,
  random: systemRandom,
  log: pino({ level: 'silent' }),
  authenticateDevice: async () => null,
  releasesOf: async () => new Set(),
  authenticate: async () => {
    throw new Error('nobody reads here')
  },
  onPublished: async () => {},
})
await noun.prepare()
noun.start()
const roles = ['timestamp', 'snapshot', 'targets', 'root', 'assignment'] as const
for (let step = 0; ; step++) {
  const path = `baseos/x/${round}.0.${step}/manifest.json`
  const text = `{"of":"${path}"}`
  const releaseId = `01920000-0000-7000-8${round.padStart(3, '0')}-${String(step).padStart(12, '0')}`
  const sha256 = createHash('sha256').update(text).digest('hex')
  const files = [{ path, text, sha256, sizeBytes: Buffer.byteLength(text) }]
  await store.transaction(caller.actor, (transaction) => noun.publish(transaction, { releaseId, files }))
  process.stdout.write(`${path}\n`)
  const role = roles[step % roles.length] ?? 'root'
  if (role === 'assignment' && step > 4) continue
  await noun.handlers.updates.rotateKey({ params: { role }, caller } as never)
}
