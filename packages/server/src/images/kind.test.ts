import type { Image } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { refuseChange, versionsLimit, withoutVersions, withVersions } from './kind.ts'

const digest = `sha256:${'0'.repeat(64)}`
const empty: Image['status'] = { versions: [], lastPushAt: null, usedBytes: 0 }
const push = (...tags: string[]) => ({
  tags,
  digest,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  sizeBytes: 10,
  platforms: ['linux/amd64'],
  pushedBy: 'ada',
  at: '2030-01-01T00:00:00.000Z',
})
const tagsOf = (status: Image['status']) => status.versions.map((version) => version.versionString)

describe('versions', () => {
  it('come newest first, each tag once', () => {
    const status = withVersions(withVersions(withVersions(empty, push('a')), push('b', 'c')), push('a'))
    expect(tagsOf(status)).toEqual(['a', 'b', 'c'])
    expect(status.lastPushAt).toBe('2030-01-01T00:00:00.000Z')
    expect(status.versions[0]).toEqual({
      versionString: 'a',
      digest,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: 10,
      platforms: ['linux/amd64'],
      pushedBy: 'ada',
      createdAt: '2030-01-01T00:00:00.000Z',
    })
  })

  it('are what was pushed and not deleted, at most so many, whatever the order', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd')
    const event = fc.record({ push: fc.boolean(), tags: fc.uniqueArray(name, { minLength: 1 }) })
    fc.assert(
      fc.property(fc.array(event), (events) => {
        let status = empty
        const expected = new Set<string>()
        for (const { push: isPush, tags } of events) {
          status = isPush ? withVersions(status, push(...tags)) : withoutVersions(status, tags)
          for (const tag of tags) isPush ? expected.add(tag) : expected.delete(tag)
        }
        expect(tagsOf(status).toSorted()).toEqual([...expected].toSorted())
      }),
    )
    const many = Array.from({ length: versionsLimit + 5 }, (_, index) => `v${index}`)
    const full = many.reduce((status, tag) => withVersions(status, push(tag)), empty)
    expect(full.versions).toHaveLength(versionsLimit)
    expect(tagsOf(full)[0]).toBe(`v${versionsLimit + 4}`)
  })
})

describe('changing an image', () => {
  const internal: Image['data'] = { name: 'team/app', description: '', location: { internal: true } }
  const external: Image['data'] = {
    name: 'nginx',
    description: '',
    location: { internal: false, externalImage: 'docker.io/library/nginx' },
  }

  it('is free in its description, and in the name and address of an external one', () => {
    expect(refuseChange(internal, { ...internal, description: 'new' })).toBeUndefined()
    expect(refuseChange(external, { ...external, name: 'web' })).toBeUndefined()
    expect(
      refuseChange(external, { ...external, location: { internal: false, externalImage: 'ghcr.io/x/nginx' } }),
    ).toBeUndefined()
  })

  it('is refused where it would tear a repository from its record', () => {
    expect(refuseChange(internal, { ...internal, name: 'team/other' })).toContain('team/app')
    expect(refuseChange(internal, { ...external, name: 'team/app' })).toContain('stays internal or external')
    expect(refuseChange(external, internal)).toContain('stays internal or external')
  })
})
