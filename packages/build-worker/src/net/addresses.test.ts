import { describe, expect, test } from 'vitest'
import { playControlPlane } from '../worker.testing.ts'
import { createAddressRule } from './addresses.ts'
import { createClient } from './client.ts'

const signal = new AbortController().signal
const send = async (url: string, rule: { homes: string[]; allowsPrivate?: boolean }) => {
  using client = createClient(createAddressRule({ allowsPrivate: false, ...rule }))
  const answer = await client.send(url, { headers: {}, signal, follow: true })
  return answer.text()
}

describe('addresses that a job names', () => {
  test.each([
    'http://127.0.0.1/',
    'http://10.1.2.3/',
    'http://192.168.0.1/',
    'http://172.31.0.1/',
    'http://0.0.0.0/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[64:ff9b::127.0.0.1]/',
    'http://[2002:a00:1::1]/',
    'http://[fd00::1]/',
    'http://localhost/',
  ])('%s is not dialled', async (url) => {
    await expect(send(url, { homes: [] })).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/private network.*COREBUILD_ALLOW_PRIVATE_SOURCES/),
    })
  })

  test('are dialled where they are the control plane, or all are allowed; link-local ones never', async () => {
    await using cloud = await playControlPlane()
    cloud.files.set('/file', Buffer.from('content'))
    const { host } = new URL(cloud.url)
    expect(await send(`${cloud.url}/file`, { homes: [host] })).toBe('content')
    expect(await send(`${cloud.url.replace('127.0.0.1', 'localhost')}/file`, { homes: [], allowsPrivate: true })).toBe(
      'content',
    )
    const mapped = ['[::ffff:169.254.169.254]', '[64:ff9b::169.254.169.254]', '[2002:a9fe:a9fe::1]']
    for (const host of ['169.254.169.254', ...mapped, '[fe80::1]', '[fd00:ec2::254]']) {
      for (const rule of [
        { homes: [] },
        { homes: [new URL(`http://${host}`).host] },
        { homes: [], allowsPrivate: true },
      ]) {
        await expect(send(`http://${host}/latest/meta-data`, rule)).rejects.toThrow(/link-local/)
      }
    }
  })

  test('are looked at again behind a redirect, which is followed five times', async () => {
    await using cloud = await playControlPlane()
    const homes = [new URL(cloud.url).host]
    let target = 'http://127.0.0.1:1/'
    cloud.intercept = (_, response) => {
      response.writeHead(302, { location: target }).end()
      return true
    }
    await expect(send(cloud.url, { homes })).rejects.toThrow(/private network/)
    target = cloud.url
    cloud.requests.length = 0
    await expect(send(cloud.url, { homes })).rejects.toThrow(/redirects to where nothing is fetched from/)
    expect(cloud.requests).toHaveLength(6)
    target = 'file:///etc/passwd'
    await expect(send(cloud.url, { homes })).rejects.toThrow(/redirects/)
  })
})
