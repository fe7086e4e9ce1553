import { CliError, exitCodes } from '../exit-codes.ts'
import { readTextFile } from '../input/source.ts'
import { type Io, readSecretLine } from '../io.ts'

export interface WifiOptions {
  wifiSsid?: string
  wifiPassphraseFile?: string
  wifiPassphraseStdin?: boolean
  wifiOpen?: boolean
  wifiHidden?: boolean
}

/** The Wi-Fi network the flags say; its passphrase comes from a file, standard input or a question, never from argv. */
export async function readWifi(
  io: Io,
  options: WifiOptions,
): Promise<{ ssid: string; passphrase: string | null; hidden: boolean } | undefined> {
  const { wifiSsid, wifiPassphraseFile, wifiPassphraseStdin, wifiOpen, wifiHidden = false } = options
  const ways = [wifiPassphraseFile !== undefined, wifiPassphraseStdin === true, wifiOpen === true].filter(Boolean)
  if (wifiSsid === undefined) {
    if (ways.length === 0 && !wifiHidden) return undefined
    throw new CliError(exitCodes.usage, 'A Wi-Fi network needs its name.', 'Give it with --wifi-ssid.')
  }
  if (ways.length > 1) {
    throw new CliError(
      exitCodes.usage,
      'The passphrase of a Wi-Fi network comes from one place.',
      'Give one of --wifi-passphrase-file, --wifi-passphrase-stdin and --wifi-open.',
    )
  }
  return {
    ssid: wifiSsid,
    passphrase: wifiOpen === true ? null : await readPassphrase(io, options),
    hidden: wifiHidden,
  }
}

async function readPassphrase(io: Io, options: WifiOptions): Promise<string> {
  if (options.wifiPassphraseFile !== undefined) {
    return (await readTextFile(options.wifiPassphraseFile)).split(/\r?\n/, 1)[0] ?? ''
  }
  if (options.wifiPassphraseStdin === true) return readSecretLine(io)
  if (io.prompts !== null) return io.prompts.password(`Passphrase of the Wi-Fi network ${options.wifiSsid}`)
  throw new CliError(
    exitCodes.usage,
    'A Wi-Fi network needs a passphrase.',
    'Give it with --wifi-passphrase-file or --wifi-passphrase-stdin; --wifi-open says that there is none.',
  )
}

/** A public key from its file. A private one is refused: it would be in every image. */
export async function readSshKey(file: string): Promise<string> {
  const text = (await readTextFile(file)).trim()
  if (/PRIVATE KEY/.test(text)) {
    throw new CliError(
      exitCodes.usage,
      `${file} is a private key, which stays where it is.`,
      'Name its public half, the file that ends with .pub.',
    )
  }
  return text
}
