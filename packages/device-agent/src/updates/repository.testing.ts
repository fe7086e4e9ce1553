import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Assignment, ReleaseManifest } from '@freehold/contracts'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from '@tufjs/models'

/** A key that signs, and as metadata name it. */
export interface TestKey {
  keyid: string
  publicKey: string
  privateKey: KeyObject
}

export function createTestKey(): TestKey {
  const { publicKey: pair, privateKey } = generateKeyPairSync('ed25519')
  const publicKey = Buffer.from(String(pair.export({ format: 'jwk' }).x), 'base64url').toString('hex')
  return { keyid: sha256(canonicalSignedJson(keyOf(publicKey))), publicKey, privateKey }
}

function keyOf(publicKey: string) {
  return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicKey } }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export function signAssignment(signed: unknown, keys: readonly TestKey[]) {
  const bytes = Buffer.from(canonicalSignedJson(signed))
  const signatures = keys.map(({ keyid, privateKey }) => ({
    keyid,
    sig: sign(null, bytes, privateKey).toString('hex'),
  }))
  return { signed, signatures }
}

type Role = 'root' | 'timestamp' | 'snapshot' | 'targets'
const day = 24 * 60 * 60_000

/** A real signed channel, made by the models of the library and keys of ours, over HTTP on a free port. */
export async function startRepository(options: { nowMs: number }) {
  const keys: Record<Role, TestKey[]> = {
    root: [createTestKey(), createTestKey()],
    timestamp: [createTestKey()],
    snapshot: [createTestKey()],
    targets: [createTestKey()],
  }
  const assignmentKey = createTestKey()
  const versions: Record<Role, number> = { root: 0, timestamp: 0, snapshot: 0, targets: 0 }
  const targets = new Map<string, string>()
  /** What is served, by path below `/updates/`. */
  const files = new Map<string, string>()
  const life: Record<Role, number> = { root: 365 * day, timestamp: 1 * day, snapshot: 7 * day, targets: 90 * day }
  const common = (role: Role) => ({
    version: ++versions[role],
    specVersion: '1.0.31',
    expires: new Date(repository.nowMs + life[role]).toISOString(),
  })
  const signedText = (signed: Root | Timestamp | Snapshot | Targets, signers: readonly TestKey[]): string => {
    const metadata = new Metadata(signed as Root)
    for (const { keyid, privateKey } of signers) {
      metadata.sign((bytes) => new Signature({ keyID: keyid, sig: sign(null, bytes, privateKey).toString('hex') }))
    }
    return JSON.stringify(metadata.toJSON())
  }

  const publishRoot = (olderKeys: readonly TestKey[] = []) => {
    const root = new Root({ ...common('root'), consistentSnapshot: true })
    for (const role of ['root', 'timestamp', 'snapshot', 'targets'] as const) {
      for (const { keyid, publicKey } of keys[role]) root.addKey(Key.fromJSON(keyid, keyOf(publicKey)), role)
    }
    for (const role of Object.values(root.roles)) Object.assign(role, { threshold: role === root.roles.root ? 2 : 1 })
    const signers = new Map([...olderKeys, ...keys.root].map((key) => [key.keyid, key]))
    files.set(`metadata/${versions.root}.root.json`, signedText(root, [...signers.values()]))
  }
  const publishTargets = () => {
    const named = [...targets].map(([path, text]) => {
      const [base = '', ...folders] = path.split('/').toReversed()
      files.set([...folders.toReversed(), `${sha256(text)}.${base}`].join('/'), text)
      const length = Buffer.byteLength(text)
      return [path, new TargetFile({ path, length, hashes: { sha256: sha256(text) } })] as const
    })
    const made = new Targets({ ...common('targets'), targets: Object.fromEntries(named) })
    files.set(`metadata/${versions.targets}.targets.json`, signedText(made, keys.targets))
  }
  const publishSnapshot = () => {
    const meta = { 'targets.json': new MetaFile({ version: versions.targets }) }
    const made = new Snapshot({ ...common('snapshot'), meta })
    files.set(`metadata/${versions.snapshot}.snapshot.json`, signedText(made, keys.snapshot))
  }
  const publishTimestamp = () => {
    const snapshotMeta = new MetaFile({ version: versions.snapshot })
    const made = new Timestamp({ ...common('timestamp'), snapshotMeta })
    files.set('metadata/timestamp.json', signedText(made, keys.timestamp))
  }

  const repository = {
    nowMs: options.nowMs,
    isAway: false,
    files,
    keys,
    versions,
    assignmentKey,
    seen: [] as { path: string; bearer: string | null }[],
    url: '',
    publishTimestamp,
    /** Puts files in, and publishes everything below root anew. */
    publish: (given: Record<string, string> = {}) => {
      for (const [path, text] of Object.entries(given)) targets.set(path, text)
      publishTargets()
      publishSnapshot()
      publishTimestamp()
    },
    withdraw: (path: string) => {
      targets.delete(path)
      repository.publish()
    },
    /** The keys of these roles are replaced, by the next root. */
    rotate: (roles: readonly Role[]) => {
      const older = keys.root
      for (const role of roles) keys[role] = keys[role].map(() => createTestKey())
      publishRoot(older)
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  publishRoot()
  const assignmentKeys = { threshold: 1, keys: { [assignmentKey.keyid]: keyOf(assignmentKey.publicKey) } }
  repository.publish({ 'keys/assignments.json': JSON.stringify(assignmentKeys) })

  const server = createServer((request, response) => {
    const path = (request.url ?? '').replace(/^\/updates\//, '')
    const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null
    repository.seen.push({ path, bearer })
    if (repository.isAway) return void request.socket.destroy()
    const text = files.get(path)
    const isForbidden = /^(?:releases|baseos)\//.test(path) && bearer === null
    response.writeHead(isForbidden ? 401 : text === undefined ? 404 : 200)
    response.end(isForbidden ? '' : text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  repository.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return repository
}

export type TestRepository = Awaited<ReturnType<typeof startRepository>>

export const testReleaseId = '01890a5d-ac96-774b-bcce-b302099a8057'

export function testManifest(change: Partial<ReleaseManifest> = {}): ReleaseManifest {
  return {
    schemaVersion: 1,
    releaseId: testReleaseId,
    product: 'kiosk',
    version: '1.4.0',
    type: 'app',
    deviceTypes: [],
    services: [
      {
        name: 'main',
        image: { repository: 'kiosk/main', digest: `sha256:${'a'.repeat(64)}` },
        environment: { MODE: 'shop' },
        command: null,
        ports: [{ host: 80, container: 8080, protocol: 'tcp' }],
        volumes: [{ name: 'data', path: '/data' }],
        restart: 'always',
        network: 'bridge',
        privileged: false,
        labels: {},
      },
    ],
    host: null,
    ...change,
  }
}

/** An assignment of that manifest to `kiosk-7`, good for a week. */
export function testAssignment(nowMs: number, change: Partial<Assignment> = {}, manifest = testManifest()): Assignment {
  const { releaseId, version, product, type } = manifest
  const release = {
    releaseId,
    version,
    target: `releases/${product}/${version}/manifest.json`,
    sha256: sha256(canonicalSignedJson(manifest)),
    rolloutId: null,
    attempt: 1,
    window: null,
    soakSeconds: 60,
    force: false,
    held: false,
  }
  return {
    _type: 'assignment',
    nodeId: 'kiosk-7',
    counter: nowMs,
    issuedAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + 7 * day).toISOString(),
    app: type === 'app' ? release : null,
    host: type === 'host' ? release : null,
    actions: [],
    ...change,
  }
}
