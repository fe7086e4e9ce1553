import { labAdministrator, pushIndexOf, pushReferrer, pushSmallImage } from '../../../../../test/system/lab/index.ts'
import type { Dashboard } from '../../dashboard.testing.ts'

/** Fills the registry: a repository with an index, signatures, an SBOM and many tags, and one that a service uses. */
export async function fillRegistry({ freehold, client }: Dashboard) {
  const target = (repository: string) => ({ url: freehold.url, ...labAdministrator(), repository })
  const config = {
    Entrypoint: ['/usr/bin/app'],
    Cmd: ['--listen', ':8080'],
    Env: ['PATH=/usr/bin', 'SECRET_KEY=not-shown'],
    ExposedPorts: { '8080/tcp': {} },
    WorkingDir: '/srv',
    Labels: { 'org.opencontainers.image.source': 'https://git.example.com/team/app' },
  }
  const app = target('team/app')
  const base = Buffer.alloc(3_000_000, 1)
  const amd = await pushSmallImage(app, { layers: [base, 'application one', 'assets'], config })
  const arm = await pushSmallImage(app, { layers: [base, 'application two'], architecture: 'arm64', config })
  const index = await pushIndexOf(app, '2.0.0', [amd, arm])
  await pushReferrer(app, index, 'application/vnd.dev.cosign.artifact.sig.v1+json')
  await pushReferrer(app, index, 'application/spdx+json')
  for (const tag of ['1.0.0', '1.1.0', '1.2.0']) await pushSmallImage(app, { tag, layers: [base, tag], config })

  const cluster = await client.clusters.create({ body: { data: { name: 'harbour' } } })
  const image = (await client.images.list({ query: { search: 'team/app' } })).items[0]
  if (image === undefined) throw new Error('The push made no image.')
  const data = { name: 'web', clusterId: cluster.id, imageId: image.id, imageVersion: '1.2.0' }
  await client.services.create({ body: { data } })
  return { image, index, target }
}
