/**
 * Lets every `new Date()` and `Date.now()` of this process tell the believed time, carried on by the clock that only
 * runs forward. The TUF library takes the time from there and cannot be given one, and a device's own clock may be wrong
 * by years. Only the process that verifies does this.
 */
export function believeTime(believedMs: number): void {
  const startedMs = performance.now()
  const nowMs = () => Math.floor(believedMs + performance.now() - startedMs)
  const RealDate = Date
  globalThis.Date = new Proxy(RealDate, {
    construct: (_, given: unknown[]) => Reflect.construct(RealDate, given.length === 0 ? [nowMs()] : given),
    apply: () => new RealDate(nowMs()).toString(),
    get: (_, name) => (name === 'now' ? nowMs : Reflect.get(RealDate, name)),
  })
}
