import { useCallback } from 'react'
import { useClient } from '../../app/client.tsx'
import { useLineStream } from '../../app/line-stream.ts'

const tail = 200

/** Follows the log of a service while it is looked at. */
export function useLogLines(serviceId: string) {
  const client = useClient()
  const open = useCallback(
    (signal: AbortSignal) => client.services.logs({ params: { id: serviceId }, query: { tail, follow: true }, signal }),
    [client, serviceId],
  )
  return useLineStream(open)
}
