import { useQuery } from '@tanstack/react-query'
import { useClient } from '../../app/client.tsx'

/** The last report of a device and its history; read again with the device. */
export function useReport(id: string) {
  const client = useClient()
  return useQuery({
    queryKey: ['devices', 'one', id, 'report'],
    queryFn: ({ signal }) => client.devices.report({ params: { id }, signal }),
  })
}
