import { AgentError } from '../errors.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import type { Generations } from '../ports/generations.js'
import type { FileComposer, Received } from './output-files.js'

export interface KeepFilesOptions {
  readonly received: AsyncIterable<Received>
  readonly composer: Pick<FileComposer, 'files'>
  readonly generations: Pick<Generations, 'put' | 'sweep'>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Ends after the first generation, and throws a failure; otherwise a failure is reported and retried. */
  readonly once: boolean
  /** The files are written. `first`: for the first time in this process; an earlier one may have written them. */
  readonly written: (
    received: Received,
    outcome: { readonly first: boolean; readonly changed: boolean },
  ) => Promise<void>
  readonly failed: (error: AgentError, delayMs: number) => void
  /** How long a replaced generation is kept. */
  readonly graceMs: number
}

const STEP_MS = 1_000
const MAX_DELAY_MS = 30_000

/** Writes a generation for each value received, until the values end. */
export async function keepFiles(options: KeepFilesOptions): Promise<void> {
  const { received, generations, clock, once, graceMs } = options
  let sweeping: Disposable = { [Symbol.dispose]: () => undefined }
  let first = true
  const sweepTwice = () => {
    sweep(options)
    sweeping[Symbol.dispose]()
    sweeping = clock.after(graceMs + 1, () => sweep(options))
  }
  try {
    // Also removes leftovers of a killed process while no identity is received.
    sweepTwice()
    for await (const value of received) {
      const changed = await put(options, value)
      if (changed === null) return
      sweepTwice()
      if (first || changed) await options.written(value, { first, changed })
      first = false
      if (once) return
    }
  } finally {
    sweeping[Symbol.dispose]()
    if (once && !first) generations.sweep()
  }
}

/** Whether a file changed; null: the signal aborted before the write. */
async function put(options: KeepFilesOptions, value: Received): Promise<boolean | null> {
  const { composer, generations, clock, signal, once } = options
  const files = await composer.files(value)
  for (let failures = 0; !signal.aborted; ) {
    try {
      return generations.put(files)
    } catch (error) {
      if (once || !(error instanceof AgentError)) throw error
      const delayMs = Math.min(MAX_DELAY_MS, ++failures * STEP_MS)
      options.failed(error, delayMs)
      await sleepUnlessAborted(clock, delayMs, signal)
    }
  }
  return null
}

function sweep({ generations, failed, once }: KeepFilesOptions): void {
  try {
    generations.sweep()
  } catch (error) {
    if (once || !(error instanceof AgentError)) throw error
    failed(error, 0)
  }
}
