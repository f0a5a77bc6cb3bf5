import { seededRandom } from '../fakes/random.js'

/** What can go wrong. Each kind is one of a bad day; `faults.ts` says how it is done. */
export const KINDS = [
  'kill',
  'restart',
  'server-away',
  'server-sick',
  'server-lies',
  'rotate-ca',
  'rate-limit',
  'clock-jump',
  'suspend',
  'cache-damage',
  'entry-churn',
  'entry-gone',
  'process-churn',
  'disk-full',
] as const
export type Kind = (typeof KINDS)[number]

/** One fault of a run. Everything about it is drawn beforehand, so that a seed says all. */
export interface PlannedFault {
  readonly kind: Kind
  /** Milliseconds after the begin of the run. */
  readonly at: number
  readonly lastsMs: number
  /** In [0, 1), for whatever the fault has to choose. */
  readonly draws: readonly number[]
}

/** How often a kind is drawn, against the others. */
const WEIGHT: Readonly<Record<Kind, number>> = {
  kill: 3,
  restart: 2,
  'server-away': 3,
  'server-sick': 3,
  'server-lies': 3,
  'rotate-ca': 2,
  'rate-limit': 1,
  'clock-jump': 2,
  suspend: 0.5,
  'cache-damage': 2,
  'entry-churn': 3,
  'entry-gone': 1,
  'process-churn': 3,
  'disk-full': 1,
}

/** How long it lasts: from, to, in seconds. */
const LASTS: Readonly<Record<Kind, readonly [number, number]>> = {
  kill: [0, 3],
  restart: [0, 2],
  'server-away': [2, 20],
  'server-sick': [2, 15],
  'server-lies': [3, 20],
  'rotate-ca': [0, 0],
  'rate-limit': [1, 4],
  'clock-jump': [2, 20],
  suspend: [0, 0],
  'cache-damage': [0, 2],
  'entry-churn': [0, 0],
  'entry-gone': [6, 30],
  'process-churn': [0, 0],
  'disk-full': [3, 15],
}

const DRAWS = 8
/**
 * All identities at once are more than a drained rate limiter gives in ten seconds. Before a suspend it is given this time to
 * fill, and so much more for each fault of the last minutes that drained it or lowered its pace.
 */
const REST_MS = 30_000
const DRAINS: ReadonlySet<Kind> = new Set(['rate-limit', 'suspend'])
const REMEMBERED_MS = 180_000

/** How faults follow each other: scale of their lengths and of the quiet between them. */
export interface Tempo {
  /** Longest a fault lasts, in seconds. */
  readonly longest: number
  /** Quiet between faults: from, to, in seconds. */
  readonly quiet: readonly [number, number]
  /** How often a second fault comes upon the first, from 0 to 1. */
  readonly overlap: number
}

/** All faults of a run, by their begin; the last ends `settleMs` before the run does. The same seed, the same faults. */
export function planFaults(seed: number, runMs: number, settleMs: number, tempo: Tempo): readonly PlannedFault[] {
  const random = seededRandom(seed)
  const between = (from: number, to: number) => (from + (to - from) * random.fraction()) * 1000
  const faults: PlannedFault[] = []
  const draw = (at: number): PlannedFault => {
    const kind = drawKind(random.fraction())
    const [from, to] = LASTS[kind]
    const lastsMs = between(Math.min(from, tempo.longest), Math.min(to, tempo.longest))
    return { kind, at, lastsMs, draws: Array.from({ length: DRAWS }, () => random.fraction()) }
  }
  for (let at = between(0.5, 2); ; ) {
    const drawn = draw(at)
    const drained = faults.filter((fault) => DRAINS.has(fault.kind) && fault.at > at - REMEMBERED_MS).length
    const first = drawn.kind === 'suspend' ? { ...drawn, at: at + REST_MS * (1 + drained) } : drawn
    const upon = random.fraction() < tempo.overlap ? draw(first.at + first.lastsMs * random.fraction()) : null
    const second = upon?.kind === 'suspend' ? null : upon
    const end = Math.max(...[first, second].map((fault) => (fault ? fault.at + fault.lastsMs : 0)))
    if (end > runMs - settleMs) return faults
    faults.push(first, ...(second ? [second] : []))
    at = end + between(...tempo.quiet)
  }
}

function drawKind(fraction: number): Kind {
  const total = KINDS.reduce((sum, kind) => sum + WEIGHT[kind], 0)
  let left = fraction * total
  for (const kind of KINDS) {
    left -= WEIGHT[kind]
    if (left < 0) return kind
  }
  return 'kill'
}

/** One of the list by a draw. */
export function pick<T>(list: readonly T[], draw: number | undefined): T | undefined {
  return list[Math.floor((draw ?? 0) * list.length)]
}
