import { span } from '../terminal/time.js'
import type { AgentLook } from './agent-reader.js'
import { type Html, html } from './html.js'
import { grouped, plural } from './pieces.js'

const WINDOWS_MS = [5, 15, 60, 180, 720, 1_440, 10_080].map((minutes) => minutes * 60_000)
/** The range before and after now. */
const COLUMNS = 40
const WIDTH = 1_000
const HEIGHT = 100

/** Rotations by time: numbers of issued and due SVIDs in each column. Pure. */
export interface Timeline {
  /** The range before and after now, in milliseconds. */
  readonly window: number
  /** The oldest first; the last one ends now. */
  readonly past: readonly number[]
  /** The soonest first. */
  readonly future: readonly number[]
  /** The issue and the renewal of the agent SVID, as fractions of the width. */
  readonly own: readonly number[]
}

/** The input of the timeline. */
export interface RotationTimes {
  readonly rotations: readonly number[]
  readonly entries: readonly { readonly svid: { readonly renew_at: string } | null }[]
  readonly status: { readonly agent_svid: { readonly issued_at: string | null; readonly renew_at: string | null } }
}

/** `now` moves in steps of a column, so that the picture changes less often. */
export function timelineOf({ rotations, entries, status }: RotationTimes, now: number): Timeline {
  const due = entries.flatMap(({ svid }) => (svid ? [Date.parse(svid.renew_at)] : []))
  const distances = [...due.map((at) => at - now), ...rotations.map((at) => now - at)]
    .filter((ms) => ms > 0)
    .sort((a, b) => a - b)
  const most = distances[Math.floor((distances.length - 1) * 0.9)] ?? 0
  const window = WINDOWS_MS.find((ms) => ms >= most) ?? 10_080 * 60_000
  const width = window / COLUMNS
  const here = Math.floor(now / width) * width
  const tally = (times: readonly number[], from: number) => {
    const columns: number[] = new Array(COLUMNS).fill(0)
    for (const at of times) {
      const column = Math.floor((at - from) / width)
      if (column >= 0 && column < COLUMNS) columns[column] = (columns[column] ?? 0) + 1
    }
    return columns
  }
  const { issued_at, renew_at } = status.agent_svid
  const own = [issued_at, renew_at].flatMap((at) => {
    const share = at === null ? -1 : (Date.parse(at) - here + window) / (2 * window)
    return share >= 0 && share <= 1 ? [share] : []
  })
  // Overdue renewals count as due now.
  const soon = due.map((at) => Math.max(at, here))
  return { window, past: tally(rotations, here - window), future: tally(soon, here), own }
}

export function timelineSection(look: AgentLook, now: number): Html {
  const { window, past, future, own } = timelineOf(look, now)
  const highest = Math.max(1, ...past, ...future)
  const [width, side] = [WIDTH / (2 * COLUMNS), WIDTH / 2]
  const bars = (counts: readonly number[], from: number, kind: string) =>
    counts.map((count, i) => {
      if (count === 0) return null
      // Small counts stay visible beside large ones.
      const height = Math.max(6, Math.sqrt(count / highest) * (HEIGHT - 8))
      return html`<rect class="${kind}" x="${(from + i * width + 1).toFixed(1)}" y="${(HEIGHT - height).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${height.toFixed(1)}" rx="1.5"><title>${plural(count, 'rotation')}</title></rect>`
    })
  const marks = own.map(
    (share) =>
      html`<line class="own" x1="${(share * WIDTH).toFixed(1)}" x2="${(share * WIDTH).toFixed(1)}" y1="0" y2="${HEIGHT}"><title>the agent's own SVID</title></line>`,
  )
  const sum = (counts: readonly number[]) => counts.reduce((all, count) => all + count, 0)
  const words = `${plural(sum(past), 'SVID')} issued in the last ${span(window)}, ${grouped(sum(future))} due in the next ${span(window)}.`
  const labels = [`${span(window)} ago`, 'now', `in ${span(window)}`]
  return html`<figure><svg class="timeline" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${words}">
<line class="ground" x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}" />${bars(past, 0, 'past')}${bars(future, side, 'due')}${marks}<line class="here" x1="${side}" x2="${side}" y1="0" y2="${HEIGHT}" /></svg>
<div class="axis" aria-hidden="true">${labels.map((label) => html`<span>${label}</span>`)}</div>
<figcaption><span>${words}</span><span class="key"><span class="dot past"></span>issued <span class="dot due"></span>due <span class="dot own"></span>the agent's own</span></figcaption></figure>`
}
