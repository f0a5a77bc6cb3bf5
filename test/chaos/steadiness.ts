import type { Sample } from './samples.js'

/** Before so many minutes have passed after the warm-up, growth is that of pools and compiled code. */
const SHORTEST_MINUTES = 10
/** The first part of a run is warm-up. */
const WARM_UP = 0.25
/** Growth is one only beyond so many times the noise. */
const NOISES = 3

/** What must stay flat, and how much it may move by itself: authorities and entries of the run are remembered too. */
const LIMITS = [
  { what: 'heap after a collection', unit: 'KiB', floor: 2_048, read: (sample: Sample) => sample.heapKib },
  { what: 'resident memory', unit: 'KiB', floor: 16_384, read: (sample: Sample) => sample.rssKib },
  { what: 'open descriptors', unit: '', floor: 3, read: (sample: Sample) => sample.fds },
] as const

/**
 * What grew over the run. Twice robust: the slope is the median of all slopes between two samples (Theil-Sen), and the
 * median of the last quarter is compared with that of the second. Both must say that it grew by more than the floor and
 * by more than three times the noise, which is the median distance from the line. Nothing for a run that is too short.
 */
export function growths(all: readonly Sample[]): readonly string[] {
  const samples = all.slice(Math.floor(all.length * WARM_UP))
  const [first, last] = [samples[0], samples.at(-1)]
  const minutes = first && last ? (last.at - first.at) / 60_000 : 0
  if (minutes < SHORTEST_MINUTES) return []
  return LIMITS.flatMap(({ what, unit, floor, read }) => {
    const values = samples.map(read)
    const perMinute = robustSlope(samples, values)
    const noise = noiseOf(samples, values, perMinute)
    const quarter = Math.floor(samples.length / 3)
    const moved = median(values.slice(-quarter)) - median(values.slice(0, quarter))
    const allowed = Math.max(floor, NOISES * noise)
    if (perMinute * minutes <= allowed || moved <= allowed) return []
    return [
      `${what} grew by ${Math.round(moved)} ${unit} (${perMinute.toFixed(1)} a minute, noise ${Math.round(noise)}, allowed ${Math.round(allowed)})`,
    ]
  })
}

/** The median of the slopes between all pairs, per minute. */
export function robustSlope(samples: readonly Sample[], values: readonly number[]): number {
  const slopes: number[] = []
  // Every pair of an hour's samples is a quarter of a million: enough of them say the same.
  const step = Math.max(1, Math.floor(samples.length / 300))
  for (let i = 0; i < samples.length; i += step) {
    for (let j = i + step; j < samples.length; j += step) {
      const minutes = ((samples[j]?.at ?? 0) - (samples[i]?.at ?? 0)) / 60_000
      if (minutes > 0) slopes.push(((values[j] ?? 0) - (values[i] ?? 0)) / minutes)
    }
  }
  return median(slopes)
}

/** As a standard deviation, from the median distance from the line. */
function noiseOf(samples: readonly Sample[], values: readonly number[], perMinute: number): number {
  const left = values.map((value, i) => value - perMinute * ((samples[i]?.at ?? 0) / 60_000))
  const middle = median(left)
  return 1.4826 * median(left.map((value) => Math.abs(value - middle)))
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? (sorted[at] ?? 0) : ((sorted[at - 1] ?? 0) + (sorted[at] ?? 0)) / 2
}
