/**
 * A process that verifies: reads one request from its standard input, answers with one line, and ends. It takes no
 * arguments. The TUF library is loaded here alone, so that the agent at rest does not carry it.
 */
import type { AssignedRelease, Assignment, ReleaseManifest } from '@freehold/contracts'
import { claimedCounter, judgeAssignment, readAssignmentKeys } from './assignment.ts'
import { believeTime } from './believed-date.ts'
import { type Channel, refreshChannel } from './channel.ts'
import { openUpdatesFolder, sha256Of, type UpdatesFolder } from './folder.ts'
import type { VerifyAnswer, VerifyRequest } from './protocol.ts'
import { readManifest } from './read-manifest.ts'
import { type Refusal, Refused } from './refusal.ts'
import { zoneAround } from './zone.ts'

const keysTarget = 'keys/assignments.json'
const manifestLimitBytes = 1024 * 1024

const request = JSON.parse(await textOf(process.stdin)) as VerifyRequest
believeTime(request.believedMs)
process.stdout.write(`${JSON.stringify(await verified(request))}\n`)

async function verified(request: VerifyRequest): Promise<VerifyAnswer> {
  const folder = openUpdatesFolder(request.folder)
  const zone = zoneAround(request.timeZone, request.believedMs)
  const counter = claimedCounter(request.assignment)
  let { trust } = request
  try {
    const channel = await refreshChannel(request, folder, (next) => {
      trust = next
    })
    const keys = readAssignmentKeys(await channel.target(keysTarget, { limitBytes: 64 * 1024 }))
    if (!keys) throw new Refused('metadata-invalid', `${keysTarget} names no keys.`)
    const { nodeId, newest: before, believedMs: nowMs } = request
    const { assignment, newest } = judgeAssignment({
      assignment: request.assignment,
      keys,
      nodeId,
      newest: before,
      nowMs,
    })
    const { halves, refusals } = await halvesOf({ assignment, channel, folder, deviceType: request.deviceType })
    const wanted = [halves.app, halves.host].flatMap((half) => (half ? [half.sha256] : []))
    await folder.dropManifestsBut([...request.keepManifests, ...wanted])
    return { trust, assignment: { ...assignment, ...halves }, newest, refusals, zone }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const refusals = [{ code: error.code, message: error.message.slice(0, 500), counter }]
    return { trust, assignment: null, newest: null, refusals, zone }
  } finally {
    await folder.closeScratch()
  }
}

/** Each half by itself: a manifest that is refused keeps only its own half from being taken. */
async function halvesOf(options: {
  assignment: Assignment
  channel: Channel
  folder: UpdatesFolder
  deviceType: string | null
}): Promise<{ halves: Pick<Assignment, 'app' | 'host'>; refusals: Refusal[] }> {
  const { assignment, ...rest } = options
  const halves: Pick<Assignment, 'app' | 'host'> = { app: null, host: null }
  const refusals: Refusal[] = []
  for (const type of ['host', 'app'] as const) {
    const assigned = assignment[type]
    if (!assigned) continue
    try {
      await bringManifest({ type, assigned, ...rest })
      halves[type] = assigned
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refusals.push({ code: error.code, message: error.message.slice(0, 500), counter: assignment.counter })
    }
  }
  return { halves, refusals }
}

async function bringManifest(options: {
  type: 'app' | 'host'
  assigned: AssignedRelease
  channel: Channel
  folder: UpdatesFolder
  deviceType: string | null
}): Promise<void> {
  const { type, assigned, channel, folder, deviceType } = options
  const { target, sha256, releaseId, version } = assigned
  // Asked for each time, although a copy may be here: what was withdrawn is not named any more.
  const text = await channel.target(target, { sha256, limitBytes: manifestLimitBytes })
  const manifest = readManifest(text)
  if (!manifest || sha256Of(text) !== sha256) {
    throw new Refused('manifest-mismatch', `${target} is no manifest that this agent can read.`)
  }
  if (manifest.releaseId !== releaseId || manifest.version !== version) {
    throw new Refused('manifest-mismatch', `${target} is of another release than the assignment says.`)
  }
  if (manifest.type !== type) {
    throw new Refused('not-for-this-type', `Release ${version} is of type ${manifest.type}, not ${type}.`)
  }
  judgeDeviceType(manifest, deviceType)
  if ((await folder.manifest(sha256)) === null) await folder.keepManifest(sha256, text)
}

function judgeDeviceType({ deviceTypes, host, version }: ReleaseManifest, deviceType: string | null): void {
  const fits = deviceTypes.length > 0 ? deviceTypes : host ? [host.deviceType] : []
  if (fits.length === 0 || (deviceType !== null && fits.includes(deviceType))) return
  // What a host is, its driver may know better than this agent was told.
  if (deviceType === null && deviceTypes.length === 0) return
  const here =
    deviceType === null ? 'this device does not know what it is: set BASEOS_DEVICE_TYPE' : `this is a ${deviceType}`
  throw new Refused('not-for-this-type', `Release ${version} is for ${fits.join(', ')}; ${here}.`)
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}
