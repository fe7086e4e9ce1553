import { CheckIcon } from '../../components/icons.tsx'
import { type BuildStep, buildSteps, stepWords } from './steps.ts'

/** Where one is among the steps, and the way back to those that are done. */
export function StepList(props: { step: BuildStep; reachable: BuildStep; onGo: (step: BuildStep) => void }) {
  const at = buildSteps.indexOf(props.step)
  const furthest = buildSteps.indexOf(props.reachable)
  return (
    <ol aria-label="Steps" className="flex flex-wrap gap-x-1 gap-y-1 text-sm max-sm:gap-x-0">
      {buildSteps.map((step, index) => {
        const isNow = index === at
        const isDone = index < at
        return (
          <li key={step}>
            <button
              type="button"
              aria-current={isNow ? 'step' : undefined}
              disabled={index > furthest}
              onClick={() => props.onGo(step)}
              className="flex h-8 items-center gap-1.5 rounded-md px-2 max-sm:px-1.5 font-medium text-muted enabled:hover:bg-sunken enabled:hover:text-ink disabled:cursor-not-allowed disabled:opacity-60 aria-[current=step]:bg-accent-soft aria-[current=step]:text-accent max-sm:h-9"
            >
              <span className="flex size-5 items-center justify-center rounded-full border border-current text-2xs">
                {isDone ? <CheckIcon width="11" height="11" /> : index + 1}
              </span>
              <span className={isNow ? '' : 'max-md:sr-only'}>
                {stepWords[step]}
                {isDone && <span className="sr-only">, done</span>}
              </span>
            </button>
          </li>
        )
      })}
    </ol>
  )
}
