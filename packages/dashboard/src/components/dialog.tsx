import { type ReactNode, useEffect, useId, useRef } from 'react'
import { IconButton } from './button.tsx'
import { CloseIcon } from './icons.tsx'

/**
 * A modal dialog on the browser's own element: focus stays inside, Esc closes, focus goes back where it was, and the
 * page behind is inert, without a style that a content security policy would refuse. Mounted means open.
 */
export function Dialog(props: {
  title: string
  onClose: () => void
  children: ReactNode
  /** Set while something runs that must not be lost sight of. */
  locked?: boolean
  wide?: boolean
}) {
  const { title, onClose, locked = false, wide = false } = props
  const ref = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useEffect(() => {
    const dialog = ref.current
    if (dialog === null || dialog.open) return
    dialog.showModal()
    return () => dialog.close()
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes it by keyboard; the click is on the backdrop.
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault()
        if (!locked) onClose()
      }}
      onClick={(event) => {
        if (event.target === ref.current && !locked) onClose()
      }}
      className={`m-auto max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] overflow-y-auto rounded-xl border border-line bg-surface p-0 text-ink shadow-2xl ${wide ? 'max-w-2xl' : 'max-w-md'}`}
    >
      <div className="flex flex-col gap-4 p-5">
        <div className="flex items-start justify-between gap-4">
          <h2 id={titleId} className="min-w-0 text-lg font-semibold [overflow-wrap:anywhere]">
            {title}
          </h2>
          <IconButton label="Close" disabled={locked} onClick={onClose} className="-my-1 -mr-2">
            <CloseIcon />
          </IconButton>
        </div>
        {props.children}
      </div>
    </dialog>
  )
}

export function DialogActions({ children }: { children: ReactNode }) {
  return <div className="flex flex-wrap justify-end gap-2 pt-1">{children}</div>
}
