/** What a process used at a moment. */
export interface Sample {
  readonly at: number
  readonly rssKib: number
  readonly fds: number
}

/** The first part of a run is warm-up: pools fill, code is compiled. */
const WARM_UP = 0.25

/** How memory and descriptors went after the warm-up: first and last (means of a tenth), and the line of best fit. */
export function slope(all: readonly Sample[]): {
  readonly rssMib: readonly [number, number]
  readonly slopeKibPerMinute: number
  readonly fds: readonly [number, number]
} {
  const samples = all.slice(Math.floor(all.length * WARM_UP))
  const tenth = Math.max(1, Math.floor(samples.length / 10))
  const [first, last] = [samples.slice(0, tenth), samples.slice(-tenth)]
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  const minutes = samples.map(({ at }) => at / 60_000)
  const memory = samples.map(({ rssKib }) => rssKib)
  const [t, m] = [mean(minutes), mean(memory)]
  const spread = minutes.reduce((sum, value) => sum + (value - t) ** 2, 0)
  const together = minutes.reduce((sum, value, i) => sum + (value - t) * ((memory[i] ?? m) - m), 0)
  const rss = (part: readonly Sample[]) => Math.round(mean(part.map(({ rssKib }) => rssKib)) / 102.4) / 10
  const fds = (part: readonly Sample[]) => Math.round(mean(part.map((sample) => sample.fds)))
  return {
    rssMib: [rss(first), rss(last)],
    slopeKibPerMinute: spread === 0 ? 0 : Math.round(together / spread),
    fds: [fds(first), fds(last)],
  }
}
