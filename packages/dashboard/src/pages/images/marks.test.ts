import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test } from 'vitest'
import { Deployments } from './marks.tsx'

const textOf = (of: Parameters<typeof Deployments>[0]['of']) =>
  renderToStaticMarkup(createElement(Deployments, { of, none: 'nothing' })).replaceAll(/<[^>]*>/g, '')

test('a release that has an image is named among what runs it', () => {
  const releases = [{ releaseId: 'a', product: 'shop', version: '1.2.0', deviceType: null }]
  expect(textOf({ deployments: [], releases })).toBe('release shop 1.2.0')
  expect(textOf({ deployments: [], releases: [] })).toBe('nothing')
})
