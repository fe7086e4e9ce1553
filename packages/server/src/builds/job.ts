import {
  type BaseImage,
  type Build,
  baseImageContentPath,
  baseImageKind,
  buildContentPath,
  type CorebuildJob,
  FreeholdError,
  hostnameOfBuild,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { S3ForWorkers } from './bytes.ts'
import { artifactKeyOf } from './kind.ts'
import type { BuildSecrets } from './secrets.ts'
import type { UrlSigner } from './signed-url.ts'

/** The archive of the device agent that `ubuntu-iso` installs. */
export type AgentArchive = (architecture: 'amd64' | 'arm64') => Promise<{ url: string; sha256: string }>

/** A job may wait and run for hours before a worker comes to fetch its base. */
const baseGoodForMs = 12 * 3_600_000

export interface JobMaker {
  /** The job of an attempt. Throws `not-found` where its base image is gone. */
  make(options: {
    build: Build
    attempt: number
    secrets: BuildSecrets
    uploadToken: string
    isLocal: boolean
  }): Promise<CorebuildJob>
}

/** Each attempt is a job of its own: a worker that was thought lost may still have the one before. */
export const jobIdOf = (buildId: string, attempt: number): string => `${buildId}.${attempt}`

export function createJobMaker(options: {
  store: Reads
  signer: UrlSigner
  agentArchive: AgentArchive
  s3: S3ForWorkers | null
  /** Where devices and workers reach the control plane. */
  publicUrl: () => string
  /** Where processes of this machine do. */
  localUrl: () => string
  now: () => number
}): JobMaker {
  const { store, signer, agentArchive, s3, publicUrl, localUrl, now } = options

  async function baseOf({ data }: Build, origin: string) {
    if (data.baseImageId === null) return {}
    const base = await store.get(baseImageKind, data.baseImageId)
    const address = base === undefined ? undefined : addressOf(base, origin)
    if (address === undefined) throw new FreeholdError('not-found', 'Its base image is gone.')
    return { sourceImageUrl: address.url, sourceImageSha256: address.sha256 }
  }

  function addressOf({ id, data, status }: BaseImage, origin: string): { url: string; sha256: string } | undefined {
    if (data.url !== null && data.sha256 !== null) return { url: data.url, sha256: data.sha256 }
    if (status.blob === null) return undefined
    const path = signer.sign(baseImageContentPath(id), now() + baseGoodForMs)
    return { url: `${origin}${path}`, sha256: status.blob.digest.slice('sha256:'.length) }
  }

  async function agentOf({ data }: Build, origin: string) {
    if (data.imageKind !== 'ubuntu-iso' || data.architecture === 'rpi') return {}
    const { url, sha256 } = await agentArchive(data.architecture)
    const ours = publicUrl()
    return { agent: { url: url.startsWith(`${ours}/`) ? `${origin}${url.slice(ours.length)}` : url, sha256 } }
  }

  return {
    async make({ build, attempt, secrets, uploadToken, isLocal }) {
      const { id, data } = build
      const origin = isLocal ? localUrl() : publicUrl()
      const { imageKind, wifi } = data
      return {
        id: jobIdOf(id, attempt),
        architecture: data.architecture,
        imageKind,
        cloudlyUrl: publicUrl(),
        provisioningToken: secrets.joinToken,
        hostname: hostnameOfBuild({ id: build.id, hostname: build.data.hostname }),
        heartbeatIntervalMs: data.heartbeatIntervalMs,
        ...(imageKind === 'ubuntu-iso' ? { sshUser: data.sshUser } : {}),
        // A base image is of whatever version it is.
        ...(imageKind === 'ubuntu-iso' && data.baseImageId === null ? { ubuntuVersion: data.ubuntuVersion } : {}),
        ...(imageKind === 'balena-raw' ? { compression: data.compression } : {}),
        ...(data.sshPublicKey === null ? {} : { sshPublicKey: data.sshPublicKey }),
        ...(wifi === null
          ? {}
          : {
              wifi: {
                ssid: wifi.ssid,
                hidden: wifi.hidden,
                ...(secrets.wifiPassphrase === null ? {} : { passphrase: secrets.wifiPassphrase }),
              },
            }),
        ...(await baseOf(build, origin)),
        ...(await agentOf(build, origin)),
        ...(s3 === null
          ? { upload: { url: `${origin}${buildContentPath(id)}`, token: uploadToken } }
          : { s3Descriptor: s3.descriptor(), artifactKey: artifactKeyOf(build, attempt) }),
      }
    },
  }
}
