import { aborted, LinkedAbort } from '../lib/abort.js'
import { type OutputEvents, outputEvents } from '../observability/output-events.js'
import { BundleFiles } from '../outputs/bundle-files.js'
import type { Agent } from './compose.js'
import { anyOf } from './live-config.js'
import type { World } from './world.js'

/** Keeps bundles in files if configured, until the signal aborts; restarts when a reload changes the settings. */
export async function keepBundleFiles(
  { live, store }: Pick<Agent, 'live' | 'store'>,
  { files, clock, log }: Pick<World, 'files' | 'clock' | 'log'>,
  signal: AbortSignal,
): Promise<void> {
  const events: OutputEvents = outputEvents(log.named('outputs'), clock)
  while (!signal.aborted) {
    using turn = new LinkedAbort(signal)
    using _changes = live.subscribe((changed) => {
      if (anyOf(changed, 'outputs.')) turn.abort()
    })
    const { bundleDir: directory, formats } = live.config.outputs
    if (directory === null) await aborted(turn.signal)
    else await new BundleFiles({ store, files, clock, events, directory, formats }).run(turn.signal)
  }
}
