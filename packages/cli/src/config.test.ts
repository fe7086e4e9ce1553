import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { chooseTarget, configPath, normalizeUrl, readConfig, writeConfig } from './config.ts'

const config = { current: 'home', contexts: { home: { url: 'https://home.example', token: 'home-token' } } }

describe('the server that is meant', () => {
  test('is the current context', () => {
    expect(chooseTarget({ config, contextName: undefined, environment: {} })).toEqual({
      url: 'https://home.example',
      token: 'home-token',
    })
  })

  test('is the one of the environment first, and never gets the token of another', () => {
    const environment = { FREEHOLD_URL: 'https://other.example' }
    expect(chooseTarget({ config, contextName: undefined, environment })).toEqual({
      url: 'https://other.example',
      token: null,
    })
  })

  test('gets the token of the environment before the stored one', () => {
    const environment = { FREEHOLD_TOKEN: 'env-token' }
    expect(chooseTarget({ config, contextName: undefined, environment }).token).toBe('env-token')
  })

  test('must be known', () => {
    expect(() => chooseTarget({ config, contextName: 'nowhere', environment: {} })).toThrow(
      /no context "nowhere" \(known: home\)/,
    )
    expect(() =>
      chooseTarget({ config: { current: 'a', contexts: {} }, contextName: undefined, environment: {} }),
    ).toThrow(/No server/)
  })
})

test('addresses are http or https, without password and trailing slash', () => {
  expect(normalizeUrl('cloud.example:8080/')).toBe('http://cloud.example:8080')
  expect(normalizeUrl('https://cloud.example/base/')).toBe('https://cloud.example/base')
  for (const wrong of ['ftp://x', 'http://', 'http://user:secret@x']) expect(() => normalizeUrl(wrong)).toThrow()
})

describe('the file of contexts', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  test('is written for its owner alone and read again', async () => {
    const path = configPath({ XDG_CONFIG_HOME: directory })
    expect(await readConfig(path)).toEqual({ current: 'default', contexts: {} })
    await writeConfig(path, config)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readConfig(path)).toEqual(config)
  })

  test('is named and left alone where it cannot be understood', async () => {
    const path = join(directory, 'config.json')
    await writeFile(path, '{"current": 3')
    await expect(readConfig(path)).rejects.toThrow(/is not a configuration of freehold/)
    expect(await readFile(path, 'utf8')).toBe('{"current": 3')
  })
})
