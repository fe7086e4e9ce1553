import { CheckField, type DraftProps, TextField } from '../../components/field.tsx'
import { type Day, days, type RolloutDraft } from './phase-draft.ts'

const names: Record<Day, string> = {
  mon: 'Mon',
  tue: 'Tue',
  wed: 'Wed',
  thu: 'Thu',
  fri: 'Fri',
  sat: 'Sat',
  sun: 'Sun',
}

/** When devices may begin, by their own time zone. */
export function WindowFields({ draft, set, fault }: DraftProps<RolloutDraft>) {
  const daysFault = draft.days.length === 0 ? 'Choose at least one day' : fault('data.window.days')
  return (
    <div className="flex flex-col gap-3">
      <CheckField
        label="Only within a time window"
        hint="By the time zone of each device. Outside of it, it only verifies and waits."
        checked={draft.hasWindow}
        onChange={(hasWindow) => set({ hasWindow })}
      />
      {draft.hasWindow && (
        <>
          <div className="grid max-w-xs grid-cols-2 gap-3">
            <TextField
              label="From"
              type="time"
              required
              value={draft.from}
              onChange={(from) => set({ from })}
              error={fault('data.window.from')}
            />
            <TextField
              label="To"
              type="time"
              required
              value={draft.to}
              onChange={(to) => set({ to })}
              error={fault('data.window.to')}
            />
          </div>
          <fieldset className="flex flex-col gap-1">
            <legend className="mb-1 text-sm font-medium">On the days</legend>
            <div className="flex flex-wrap gap-x-4 gap-y-2">
              {days.map((day) => (
                <label key={day} className="flex items-center gap-1.5 text-sm">
                  <input
                    type="checkbox"
                    className="size-4 accent-accent"
                    checked={draft.days.includes(day)}
                    onChange={(event) =>
                      set({
                        days: event.target.checked ? [...draft.days, day] : draft.days.filter((one) => one !== day),
                      })
                    }
                  />
                  {names[day]}
                </label>
              ))}
            </div>
            {daysFault !== undefined && <p className="text-xs font-medium text-bad">{daysFault}</p>}
          </fieldset>
        </>
      )}
    </div>
  )
}

/** `22:00 to 05:00`, and on which days where not on all. */
export function windowText(window: { days: readonly Day[]; from: string; to: string } | null): string {
  if (window === null) return 'any time'
  const onDays = window.days.length === days.length ? '' : `, ${window.days.map((day) => names[day]).join(', ')}`
  return `${window.from} to ${window.to}${onDays}, by the device's time`
}
