import { GoodIcon, MovingIcon, WaitIcon } from '../../components/icons.tsx'
import { Section } from '../../components/page.tsx'
import { ProgressBar } from '../../components/progress-bar.tsx'
import { type Build, phaseSteps } from './words.ts'

const icons = {
  done: <GoodIcon className="mt-0.5 text-good" />,
  now: <MovingIcon className="mt-0.5 text-accent" />,
  ahead: <WaitIcon className="mt-0.5 text-muted" />,
}
const said = { done: 'done', now: 'under way', ahead: 'to come' }

/** Which phase a build is in, and how far that is. Nothing while it waits: its message says why. */
export function BuildProgress({ build: { status } }: { build: Build }) {
  const { progress } = status
  if (status.state !== 'building' || progress === null) return null
  return (
    <Section title="Progress">
      <ol aria-label="Phases" className="flex flex-col gap-2">
        {phaseSteps(progress.phase).map(({ name, label, state }) => (
          <li key={name} aria-current={state === 'now' ? 'step' : undefined} className="flex items-start gap-2 text-sm">
            {icons[state]}
            <div className="flex min-w-0 flex-1 flex-col gap-1.5">
              <span className={state === 'now' ? 'font-medium' : 'text-muted'}>
                {label}
                <span className="sr-only">, {said[state]}</span>
              </span>
              {state === 'now' && (
                <ProgressBar label={label} doneBytes={progress.doneBytes} totalBytes={progress.totalBytes} />
              )}
            </div>
          </li>
        ))}
      </ol>
    </Section>
  )
}
