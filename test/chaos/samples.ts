/** What a process used at a moment. */
export interface Sample {
  readonly at: number
  readonly rssKib: number
  /** In use after a full collection. */
  readonly heapKib: number
  readonly fds: number
}

export interface Course {
  readonly rssMib: readonly [first: number, last: number]
  readonly rssSlopeKibPerMinute: number
  readonly heapMib: readonly [first: number, last: number]
  readonly heapSlopeKibPerMinute: number
  readonly fds: readonly [first: number, last: number]
}

/** The first part of a run is warm-up: pools fill, code is compiled. */
const WARM_UP = 0.25

/** How memory and descriptors went after the warm-up: first and last (means of a tenth), and the lines of best fit. */
export function courseOf(all: readonly Sample[]): Course {
  const samples = all.slice(Math.floor(all.length * WARM_UP))
  const tenth = Math.max(1, Math.floor(samples.length / 10))
  const ends = (read: (sample: Sample) => number, unit: number): [number, number] => {
    const end = (part: readonly Sample[]) => Math.round((mean(part.map(read)) / unit) * 10) / 10
    return [end(samples.slice(0, tenth)), end(samples.slice(-tenth))]
  }
  return {
    rssMib: ends(({ rssKib }) => rssKib, 1024),
    rssSlopeKibPerMinute: slope(samples, ({ rssKib }) => rssKib),
    heapMib: ends(({ heapKib }) => heapKib, 1024),
    heapSlopeKibPerMinute: slope(samples, ({ heapKib }) => heapKib),
    fds: ends(({ fds }) => fds, 1),
  }
}

/** The line of best fit, per minute. */
function slope(samples: readonly Sample[], read: (sample: Sample) => number): number {
  const minutes = samples.map(({ at }) => at / 60_000)
  const values = samples.map(read)
  const [t, v] = [mean(minutes), mean(values)]
  const spread = minutes.reduce((sum, minute) => sum + (minute - t) ** 2, 0)
  const together = minutes.reduce((sum, minute, i) => sum + (minute - t) * ((values[i] ?? v) - v), 0)
  return spread === 0 ? 0 : Math.round(together / spread)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}
