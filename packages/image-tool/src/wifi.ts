import { pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'

/**
 * The pre-shared key of a WPA network, in hexadecimal (IEEE 802.11 annex J.4.1). Files hold it instead of the
 * passphrase: it needs no quoting in any of them.
 */
export async function wifiKey({ ssid, passphrase }: { ssid: string; passphrase: string }): Promise<string> {
  return (await promisify(pbkdf2)(passphrase, ssid, 4096, 32, 'sha1')).toString('hex')
}
