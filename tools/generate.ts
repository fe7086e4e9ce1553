import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cliReference } from '@freehold/cli'
import { openApiDocument } from '@freehold/contracts/openapi'
import { configJsonSchema } from '@freehold/image-tool'
import { settingsReference } from '@freehold/server'

/** A file that is made from the code and checked in. `content` must be the same text for the same code. */
interface GeneratedFile {
  path: string
  content(): Promise<string>
}

/** Every generated file of the repository; add yours here. */
const generatedFiles: readonly GeneratedFile[] = [
  {
    path: 'openapi.json',
    content: async () => `${JSON.stringify(openApiDocument(await versionOf()), undefined, 2)}\n`,
  },
  { path: 'docs/settings.md', content: async () => settingsReference() },
  { path: 'docs/cli.md', content: async () => cliReference() },
  { path: 'docs/image-tool.schema.json', content: async () => configJsonSchema() },
]

const root = join(import.meta.dirname, '..')
const check = process.argv.includes('--check')
const stale: string[] = []
for (const file of generatedFiles) {
  const content = await file.content()
  if ((await readIfThere(file.path)) === content) continue
  stale.push(file.path)
  if (!check) await writeFile(join(root, file.path), content)
}
if (!check) process.stdout.write(stale.length === 0 ? 'Everything is fresh.\n' : `Written: ${stale.join(', ')}\n`)
else if (stale.length > 0) {
  process.stderr.write(`Not as the code says: ${stale.join(', ')}. Run: npm run generate\n`)
  process.exitCode = 1
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, path), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function versionOf(): Promise<string> {
  const manifest: { version: string } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  return manifest.version
}
