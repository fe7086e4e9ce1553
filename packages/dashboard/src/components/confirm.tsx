import { type ReactNode, useState } from 'react'
import { Button } from './button.tsx'
import { Dialog, DialogActions } from './dialog.tsx'
import { ErrorNote } from './error-note.tsx'
import { TextField } from './field.tsx'

/** Asks before something that cannot be taken back; with `name`, only after it has been typed. */
export function Confirm(props: {
  title: string
  children: ReactNode
  action: string
  name?: string
  /** Of the button that does it; `primary` where nothing is lost by it. */
  look?: 'primary' | 'destructive'
  mutation: {
    mutate: (input: undefined, options: { onSuccess: () => void }) => void
    isPending: boolean
    error: unknown
  }
  onClose: () => void
  onDone?: () => void
}) {
  const { mutation, name, onClose } = props
  const [typed, setTyped] = useState('')
  const mayGo = name === undefined || typed === name
  const submit = () => {
    if (!mayGo) return
    mutation.mutate(undefined, {
      onSuccess: () => {
        onClose()
        props.onDone?.()
      },
    })
  }
  return (
    <Dialog title={props.title} onClose={onClose} locked={mutation.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <div className="flex flex-col gap-2 text-muted">{props.children}</div>
        {name !== undefined && (
          <TextField
            label={`Type ${name} to confirm`}
            value={typed}
            onChange={setTyped}
            autoComplete="off"
            spellCheck={false}
          />
        )}
        <ErrorNote error={mutation.error} />
        <DialogActions>
          <Button onClick={onClose} disabled={mutation.isPending}>
            Cancel
          </Button>
          <Button type="submit" look={props.look ?? 'destructive'} disabled={!mayGo} busy={mutation.isPending}>
            {props.action}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
