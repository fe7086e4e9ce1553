import { useEffect, useState } from 'react'
import { IconButton } from './button.tsx'
import { CheckIcon, CopyIcon } from './icons.tsx'
import { Scroller } from './scroller.tsx'

/** Copies a text; says so for two seconds, to the eye and to screen readers. */
export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'failed'>('no')
  useEffect(() => {
    if (copied === 'no') return
    const timer = setTimeout(() => setCopied('no'), 2_000)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => setCopied((await writeClipboard(text)) ? 'yes' : 'failed')
  return (
    <>
      <IconButton label={label} onClick={() => void copy()}>
        {copied === 'yes' ? <CheckIcon className="text-good" /> : <CopyIcon />}
      </IconButton>
      <span role="status" className="sr-only">
        {copied === 'yes' ? 'Copied' : copied === 'failed' ? 'Could not copy; select the text instead' : ''}
      </span>
    </>
  )
}

/** The clipboard API exists on HTTPS and localhost only; elsewhere a selected text field does. */
export async function writeClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'fixed top-0 opacity-0'
    const parent = document.querySelector('dialog:modal') ?? document.body
    parent.append(area)
    area.select()
    const done = document.execCommand('copy')
    area.remove()
    return done
  }
}

/** Lines to run in a terminal, each scrolling by itself, with one button that copies them all. */
export function Command({ text, label }: { text: string; label: string }) {
  return (
    <div className="flex items-start gap-1 rounded-md border border-line bg-sunken py-1 pr-1 pl-3">
      <Scroller label={label} className="min-w-0 flex-1 overflow-x-auto py-1.5">
        <code className="block font-mono text-xs whitespace-pre">{text}</code>
      </Scroller>
      <CopyButton text={text} label={`Copy ${label.toLowerCase()}`} />
    </div>
  )
}
