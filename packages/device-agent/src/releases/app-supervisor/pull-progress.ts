import { type Fields, fieldsOf, numberOf, parseJson, textOf } from '../../parse.ts'

/** Reads what an engine says while it pulls: JSON objects, a line each, whose last may be an error. */
export interface PullWatch {
  /** Throws what `onError` throws. */
  take(chunk: Buffer): void
  /** The stream ended; reads what is left. */
  end(): void
}

const longestLineCharacters = 64 * 1024
const mostLayers = 500

/** `onProgress`: whole percent that never fall, each once. `onError`: what the engine said, for instance no access. */
export function createPullWatch(options: {
  onProgress: (percent: number) => void
  onError: (message: string) => void
}): PullWatch {
  const { onProgress, onError } = options
  const decoder = new TextDecoder()
  const layers = new Map<string, number>()
  let rest = ''
  let told = -1

  const note = (line: Fields) => {
    const message = textOf(fieldsOf(line.errorDetail).message, 2_000) ?? textOf(line.error, 2_000)
    if (message !== null) onError(message)
    const [id, status] = [textOf(line.id, 80), textOf(line.status, 200)]
    const share = id === null || status === null ? null : shareOf(status, fieldsOf(line.progressDetail))
    if (id === null || share === null || (!layers.has(id) && layers.size >= mostLayers)) return
    layers.set(id, Math.max(share, layers.get(id) ?? 0))
    const done = [...layers.values()].reduce((sum, value) => sum + value, 0) / layers.size
    const percent = Math.min(99, Math.floor(done * 100))
    if (percent <= told) return
    told = percent
    onProgress(percent)
  }
  const read = (line: string) => {
    if (line.trim() !== '') note(fieldsOf(parseJson(line)))
  }
  return {
    take: (chunk) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = (lines.pop() ?? '').slice(0, longestLineCharacters)
      for (const line of lines) read(line)
    },
    end: () => {
      read(rest)
      rest = ''
    },
  }
}

/** Of one layer, 0 to 1; null: the line is not about one. Unpacking begins at nine tenths. */
function shareOf(status: string, detail: Fields): number | null {
  const [current, total] = [numberOf(detail.current), numberOf(detail.total)]
  const part = current !== null && total !== null && total > 0 ? Math.min(1, Math.max(0, current / total)) : 0
  if (status === 'Downloading') return part * 0.9
  if (status === 'Verifying Checksum' || status === 'Download complete') return 0.9
  if (status === 'Extracting') return 0.9 + part * 0.1
  if (status === 'Pull complete' || status === 'Already exists') return 1
  if (status === 'Pulling fs layer' || status === 'Waiting') return 0
  return null
}
