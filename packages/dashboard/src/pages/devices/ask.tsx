import type { Device } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { CheckField } from '../../components/field.tsx'

const words = {
  update: {
    title: (name: string) => `Let ${name} look for an update?`,
    action: 'Look for update',
    text: 'With its next heartbeat it looks whether there is something else for it to run.',
    look: 'primary',
  },
  reboot: {
    title: (name: string) => `Reboot ${name}?`,
    action: 'Reboot',
    text: 'With its next heartbeat it starts anew; what runs on it is away meanwhile.',
    look: 'destructive',
  },
} as const

/** Asks a device for something; what comes of it is shown on its page. */
export function AskDialog(props: { device: Device; kind: keyof typeof words; onClose: () => void }) {
  const { device, kind, onClose } = props
  const client = useClient()
  const [force, setForce] = useState(false)
  const ask = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> =>
      client.devices.act({ params: { id: device.id }, body: { kind, force } }),
  })
  const { title, action, text, look } = words[kind]
  return (
    <Confirm title={title(device.data.name)} action={action} look={look} mutation={ask} onClose={onClose}>
      <p>{text} The request is carried out once, within a day or not at all.</p>
      <div className="text-ink">
        <CheckField
          label="Force"
          hint="Also while an application holds an update lock."
          checked={force}
          onChange={setForce}
        />
      </div>
    </Confirm>
  )
}
