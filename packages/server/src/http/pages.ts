import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FreeholdError } from '@freehold/contracts'
import { createFiles } from './files.ts'

const swaggerFiles = new Set(['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'])
const docsPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Freehold API</title>
<link rel="icon" href="/docs/api/favicon-32x32.png">
<link rel="stylesheet" href="/docs/api/swagger-ui.css">
</head>
<body>
<div id="api"><p>The API reference needs JavaScript; the same is in <a href="/openapi.json">openapi.json</a>.</p></div>
<script src="/docs/api/swagger-ui-bundle.js"></script>
<script src="/docs/api/start.js"></script>
</body>
</html>
`
const docsScript = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#api', deepLinking: true, docExpansion: 'none', filter: true, tryItOutEnabled: false })\n`
const noDashboardPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Freehold</title></head>
<body>
<h1>Freehold is running</h1>
<p>The dashboard has not been built. <code>npm start</code> builds it; the API and the registry work without it.</p>
<p><a href="/docs/api">API reference</a></p>
</body>
</html>
`

/**
 * The pages for people: the dashboard (every address that is no file is its index page, because it routes by itself),
 * the API reference at /docs/api, and /openapi.json. Throws `not-found` and `method-not-allowed`.
 */
export function createPages(options: { dashboardDirectory: string; version: string }) {
  const dashboard = createFiles(options.dashboardDirectory)
  let swagger: ReturnType<typeof createFiles> | undefined
  let openApi: string | undefined

  return async (path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new FreeholdError('method-not-allowed', 'This address takes GET.')
    }
    if (path === '/openapi.json') {
      openApi ??= await openApiText(options.version)
      return sendText(response, 'application/json; charset=utf-8', openApi)
    }
    if (path === '/docs/api' || path === '/docs/api/') return sendText(response, 'text/html; charset=utf-8', docsPage)
    if (path === '/docs/api/start.js') return sendText(response, 'text/javascript; charset=utf-8', docsScript)
    if (path.startsWith('/docs/api/')) {
      swagger ??= createFiles(swaggerDirectory(), { only: swaggerFiles })
      if (await swagger.send(path.slice('/docs/api/'.length), request, response)) return
      throw nothingAt(path)
    }
    if (await dashboard.send(path.slice(1), request, response)) return
    if (looksLikeFile(path)) {
      dashboard.refresh()
      throw nothingAt(path)
    }
    if (await dashboard.send('index.html', request, response)) return
    sendText(response, 'text/html; charset=utf-8', noDashboardPage)
  }
}

/** A missing script must not be answered with a page. */
function looksLikeFile(path: string): boolean {
  return path.startsWith('/assets/') || /\.(js|css|map|png|svg|ico|woff2|json|webmanifest)$/.test(path)
}

function nothingAt(path: string): FreeholdError {
  return new FreeholdError('not-found', `There is nothing at ${path.slice(0, 200)}.`)
}

/** Loaded when somebody asks: every schema of the contract becomes JSON Schema for it. */
async function openApiText(version: string): Promise<string> {
  const { openApiDocument } = await import('@freehold/contracts/openapi')
  return JSON.stringify(openApiDocument(version), undefined, 2)
}

function swaggerDirectory(): string {
  return dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')))
}

function sendText(response: ServerResponse, type: string, text: string): void {
  response.writeHead(200, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-cache',
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

/** The version in this package's manifest. */
export function serverVersion(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
