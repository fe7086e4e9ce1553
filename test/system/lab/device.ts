import type { Client } from '@freehold/client'
import {
  deviceRegisterAnswerSchema,
  deviceRegisterPath,
  type ReleaseManifest,
  releaseManifestSchema,
} from '@freehold/contracts'
import { waitFor } from './wait.ts'

/** A device that enrolled, without an agent: its node token is all that it has. */
export interface EnrolledDevice {
  id: string
  nodeId: string
  nodeToken: string
}

/** Enrols a device with a join token of its own, over the protocol of devices. `client`: of an administrator. */
export async function enrolDevice(client: Client, url: string, nodeId: string): Promise<EnrolledDevice> {
  const { joinToken } = await client.joinTokens.create({ body: { data: { name: nodeId, uses: 1 } } })
  const response = await fetch(`${url}${deviceRegisterPath}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${joinToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ nodeId, deviceSecret: `secret-of-${nodeId}`, bootId: 'first' }),
  })
  const answer = deviceRegisterAnswerSchema.parse(await response.json())
  if (answer.state !== 'accepted') throw new Error(`${nodeId} was not let in: ${JSON.stringify(answer)}`)
  const device = (await client.devices.list({ query: {} })).items.find(({ data }) => data.nodeId === nodeId)
  if (device === undefined) throw new Error(`${nodeId} enrolled and is not in the list of devices.`)
  return { id: device.id, nodeId, nodeToken: answer.nodeToken }
}

/** Pins a device to a release, and reads its manifest as the device does. */
export async function giveRelease(
  client: Client,
  options: { url: string; device: EnrolledDevice; releaseId: string },
): Promise<ReleaseManifest> {
  const { url, device, releaseId } = options
  const release = await waitFor(
    async () => {
      const read = await client.releases.get({ params: { id: releaseId } })
      return read.status.state === 'signed' && read
    },
    { what: 'the release to be signed' },
  )
  const pin = release.data.type === 'app' ? { pinnedAppReleaseId: releaseId } : { pinnedHostReleaseId: releaseId }
  const { version, data } = await client.devices.get({ params: { id: device.id } })
  await client.devices.update({ params: { id: device.id }, body: { version, data: { name: data.name, ...pin } } })
  const response = await fetch(`${url}/updates/${release.status.target?.path}`, {
    headers: { authorization: `Bearer ${device.nodeToken}` },
  })
  if (response.status !== 200) throw new Error(`The manifest was answered with ${response.status}.`)
  return releaseManifestSchema.parse(await response.json())
}
