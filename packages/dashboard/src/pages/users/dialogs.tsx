import type { User } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'

type HumanRole = 'admin' | 'user'
const roles = [
  { value: 'user', label: 'user: reads all, runs services' },
  { value: 'admin', label: 'admin: everything' },
]
const shownPaths = ['data.name', 'data.role', 'data.password']

/** The frame of a form in a dialog: fields, fault, Cancel and the action. */
function FormDialog(props: {
  title: string
  action: string
  mutation: { mutate: () => void; isPending: boolean; error: unknown }
  onClose: () => void
  children: ReactNode
}) {
  const { mutation, onClose } = props
  return (
    <Dialog title={props.title} onClose={onClose} locked={mutation.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          mutation.mutate()
        }}
      >
        {props.children}
        <ErrorNote error={mutation.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={mutation.isPending}>
            {props.action}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

export function CreateUserDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState('')
  const [role, setRole] = useState('user')
  const [password, setPassword] = useState('')
  const create = useMutation({
    mutationFn: () => client.users.create({ body: { data: { name, role: role as HumanRole, password } } }),
    onSuccess: onClose,
  })
  return (
    <FormDialog title="Create user" action="Create user" mutation={create} onClose={onClose}>
      <TextField
        label="User name"
        value={name}
        onChange={setName}
        required
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        error={faultAt(create.error, 'data.name')}
      />
      <SelectField
        label="Role"
        value={role}
        onChange={setRole}
        choices={roles}
        error={faultAt(create.error, 'data.role')}
      />
      <NewPassword value={password} onChange={setPassword} error={faultAt(create.error, 'data.password')} />
    </FormDialog>
  )
}

export function RoleDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const client = useClient()
  const [role, setRole] = useState<string>(user.data.role)
  const update = useMutation({
    mutationFn: () => client.users.update({ params: { id: user.id }, body: { data: { role: role as HumanRole } } }),
    onSuccess: onClose,
  })
  return (
    <FormDialog title={`Role of ${user.data.name}`} action="Change role" mutation={update} onClose={onClose}>
      <SelectField
        label="Role"
        value={role}
        onChange={setRole}
        choices={roles}
        error={faultAt(update.error, 'data.role')}
      />
    </FormDialog>
  )
}

export function PasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const client = useClient()
  const [password, setPassword] = useState('')
  const update = useMutation({
    mutationFn: () => client.users.update({ params: { id: user.id }, body: { data: { password } } }),
    onSuccess: onClose,
  })
  return (
    <FormDialog
      title={`Set a password for ${user.data.name}`}
      action="Set password"
      mutation={update}
      onClose={onClose}
    >
      <NewPassword value={password} onChange={setPassword} error={faultAt(update.error, 'data.password')} />
    </FormDialog>
  )
}

function NewPassword(props: { value: string; onChange: (value: string) => void; error: string | undefined }) {
  return (
    <TextField
      {...props}
      label="Password"
      type="password"
      autoComplete="new-password"
      required
      hint="At least 10 characters"
    />
  )
}

export function DisableUserDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const client = useClient()
  const disabled = !user.data.disabled
  const update = useMutation({
    mutationFn: (_: undefined) => client.users.update({ params: { id: user.id }, body: { data: { disabled } } }),
  })
  return (
    <Confirm
      title={disabled ? `Disable ${user.data.name}?` : `Let ${user.data.name} in again?`}
      action={disabled ? 'Disable user' : 'Let in again'}
      mutation={update}
      onClose={onClose}
    >
      <p>
        {disabled
          ? 'Their sessions end and their tokens are refused until you let them in again.'
          : 'They can sign in again.'}
      </p>
    </Confirm>
  )
}

export function DeleteUserDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({ mutationFn: (_: undefined) => client.users.delete({ params: { id: user.id } }) })
  return (
    <Confirm
      title={`Delete ${user.data.name}?`}
      name={user.data.name}
      action="Delete user"
      mutation={remove}
      onClose={onClose}
    >
      <p>Their sessions end and their tokens go with them. What they did stays in the audit log.</p>
    </Confirm>
  )
}
