import { type ReactNode, useEffect, useRef } from 'react'
import { Scroller } from './scroller.tsx'

/** Lines of a log, scrolled to the newest for as long as nobody scrolls away from it. */
export function LogBox(props: {
  /** Number of the newest line; the box moves when it changes. */
  newest: number | undefined
  isFollowing: boolean
  className: string
  children: ReactNode
}) {
  const { newest, isFollowing } = props
  const ref = useRef<HTMLElement>(null)
  const isAtEnd = useRef(true)
  useEffect(() => {
    const box = ref.current
    if (box !== null && newest !== undefined && isFollowing && isAtEnd.current) box.scrollTop = box.scrollHeight
  }, [newest, isFollowing])
  return (
    <Scroller
      ref={ref}
      role="log"
      label="Log lines"
      aria-live="off"
      onScroll={({ currentTarget: box }) => {
        isAtEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < 40
      }}
      className={`overflow-auto rounded-lg border border-line bg-surface py-2 font-mono text-xs leading-5 ${props.className}`}
    >
      {props.children}
    </Scroller>
  )
}
