/** The loopback limit's far end, as a thread: counts the bytes of one request, drops them, and answers. */
import { type AddressInfo, createServer } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

const { lengthBytes } = workerData as { lengthBytes: number }
const server = createServer((socket) => {
  let receivedBytes = 0
  socket.on('data', (chunk) => {
    receivedBytes += chunk.length
    // The head of the request is the little that comes on top.
    if (receivedBytes < lengthBytes) return
    receivedBytes = Number.NEGATIVE_INFINITY
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
  })
  socket.on('error', () => socket.destroy())
})
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port))
