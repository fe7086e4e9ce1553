import { createMemoryHistory, createRootRoute, createRouter, RouterContextProvider } from '@tanstack/react-router'
import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { expect, test } from 'vitest'
import { Deployments } from './marks.tsx'

/** Links need a router, though nobody follows them here. */
const router = createRouter({ routeTree: createRootRoute(), history: createMemoryHistory() })
const textOf = (of: Parameters<typeof Deployments>[0]['of']) => {
  const children = createElement(Deployments, { of, none: 'nothing' })
  return renderToStaticMarkup(createElement(RouterContextProvider, { router, children })).replaceAll(/<[^>]*>/g, '')
}

test('a release that has an image is named among what runs it', () => {
  const releases = [{ releaseId: 'a', product: 'shop', version: '1.2.0', deviceType: null }]
  expect(textOf({ deployments: [], releases })).toBe('release shop 1.2.0')
  expect(textOf({ deployments: [], releases: [] })).toBe('nothing')
})
