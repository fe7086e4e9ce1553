/**
 * Gives back a buffer's memory now, where it is all of its memory; the buffer is empty afterwards. Left to the garbage
 * collector, which counts it as pressure, the buffers of large transfers cost as much time as their hash, and tens of
 * megabytes wait for it.
 */
export function release({ buffer, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}
