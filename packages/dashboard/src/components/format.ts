const units: [name: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'short' })

/** `3 min. ago`, `in 2 days`; within ten seconds `now`, so that nothing flickers. `at` is RFC 3339. */
export function relativeTime(at: string, nowMs: number): string {
  const seconds = Math.round((Date.parse(at) - nowMs) / 1000)
  if (Number.isNaN(seconds)) return '–'
  if (Math.abs(seconds) < 10) return 'now'
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit).replace('.', '')
  }
  return relative.format(seconds, 'second').replace('.', '')
}

/** How long something took or has been going on: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`
  return minutes % 60 === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** In powers of 1024, as quotas, the command line and refused pushes say it: `0 B`, `999 B`, `1.2 KiB`, `31.4 MiB`. */
export function bytes(sizeBytes: number): string {
  let value = Math.max(0, sizeBytes)
  let unit = 0
  while (value >= 1023.5 && unit < sizes.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1
  return `${value.toFixed(digits)} ${sizes[unit]}`
}

/** Memory in the powers of two it is sold in: `512 MiB`, `7.8 GiB`. */
export function memory(sizeBytes: number): string {
  const mebibytes = sizeBytes / 2 ** 20
  return mebibytes < 1024 ? `${Math.round(mebibytes)} MiB` : `${(mebibytes / 1024).toFixed(1)} GiB`
}

/** The first twelve characters that tell digests apart: `sha256:0123456789ab`. */
export function shortDigest(digest: string): string {
  const [algorithm, hex] = digest.split(':')
  return hex === undefined ? digest : `${algorithm}:${hex.slice(0, 12)}`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}
