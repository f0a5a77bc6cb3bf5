import { outputEvents } from '../observability/output-events.js'
import { BundleFiles } from '../outputs/bundle-files.js'
import type { Agent } from './compose.js'
import type { World } from './world.js'

/** Null where no bundles are wanted as files. */
export function bundleFiles(
  { config, store }: Pick<Agent, 'config' | 'store'>,
  { files, clock, log }: Pick<World, 'files' | 'clock' | 'log'>,
): BundleFiles | null {
  const { bundleDir, formats } = config.outputs
  if (bundleDir === null) return null
  const events = outputEvents(log.named('outputs'), clock)
  return new BundleFiles({ store, files, clock, events, directory: bundleDir, formats })
}
