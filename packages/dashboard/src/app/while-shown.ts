/** A page out of sight this long gives its connection back. */
const hiddenGraceMs = 10_000

/**
 * Runs something while the page is shown: it is aborted when the page is left or has been hidden for a while, and run
 * anew when the page is shown again. A browser allows few connections to one server, all its tabs together, and keeps
 * pages that were left with theirs open: streams of pages nobody looks at would keep the others waiting.
 * Returns what ends it for good.
 */
export function whileShown(run: (signal: AbortSignal, isAgain: boolean) => void): () => void {
  let current: AbortController | undefined
  let isAgain = false
  let timer: ReturnType<typeof setTimeout> | undefined
  const stop = () => {
    clearTimeout(timer)
    current?.abort()
    current = undefined
  }
  const start = () => {
    clearTimeout(timer)
    if (current !== undefined) return
    current = new AbortController()
    run(current.signal, isAgain)
    isAgain = true
  }
  const onVisibility = () => {
    if (document.visibilityState === 'visible') start()
    else timer = setTimeout(stop, hiddenGraceMs)
  }
  document.addEventListener('visibilitychange', onVisibility)
  window.addEventListener('pagehide', stop)
  window.addEventListener('pageshow', start)
  start()
  return () => {
    document.removeEventListener('visibilitychange', onVisibility)
    window.removeEventListener('pagehide', stop)
    window.removeEventListener('pageshow', start)
    stop()
  }
}
