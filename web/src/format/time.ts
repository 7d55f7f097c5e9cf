/** Times: seconds UTC in, text in the chosen zone out; the zone is `undefined` for the browser's own. */

export type Zone = string | undefined

const formats = new Map<string, Intl.DateTimeFormat>()

function format(kind: 'clock' | 'millis' | 'full' | 'day', zone: Zone): Intl.DateTimeFormat {
  const key = `${kind} ${zone}`
  let found = formats.get(key)
  if (!found) {
    const clock = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const
    const day = { year: 'numeric', month: 'short', day: 'numeric' } as const
    const options = {
      clock,
      millis: { ...clock, fractionalSecondDigits: 3 },
      full: { ...day, ...clock, timeZoneName: 'short' },
      day: { month: 'short', day: 'numeric', ...clock },
    } as const
    found = new Intl.DateTimeFormat(undefined, { ...options[kind], timeZone: zone } as Intl.DateTimeFormatOptions)
    formats.set(key, found) // four kinds by few zones: bounded
  }
  return found
}

export const clock = (seconds: number, zone: Zone) => format('clock', zone).format(seconds * 1000)
export const full = (seconds: number, zone: Zone) => format('full', zone).format(seconds * 1000)
export const dayAndClock = (seconds: number, zone: Zone) => format('day', zone).format(seconds * 1000)

/** A row's time: with milliseconds when it is of the last 20 hours, with its day when older. */
export const rowTime = (seconds: number, now: number, zone: Zone) =>
  format(now - seconds < 72_000 ? 'millis' : 'day', zone).format(seconds * 1000)

/** 12 s, 4 min, 3 h 12 min, 2 d 4 h: two units at most. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min`
  const [big, small, size] = whole < 86_400 ? ['h', 'min', 3600] as const : ['d', 'h', 86_400] as const
  const rest = Math.floor((whole % size) / (size === 3600 ? 60 : 3600))
  return `${Math.floor(whole / size)} ${big}${rest ? ` ${rest} ${small}` : ''}`
}

/** RFC 3339 UTC, for `<time datetime>` and links. */
export const iso = (seconds: number) => new Date(seconds * 1000).toISOString()

/** The zone's name as people know it: Europe/Berlin, UTC. */
export const zoneName = (zone: Zone) => zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
