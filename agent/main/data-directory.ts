import { dirname } from 'node:path'
import type { Config } from '../config/config.js'
import type { Log } from '../observability/log.js'
import { checkDirectory } from '../platform/directory.js'
import { nameIn } from '../platform/name-in.js'
import { makePrivate } from '../platform/private-directory.js'
import type { Files } from '../ports/files.js'

const MODE = 0o700

/** The settings with the agent's paths. */
interface PlaceSettings {
  readonly agent: Pick<Config['agent'], 'dataDir' | 'socketPath'>
  readonly security: Pick<Config['security'], 'cachePath'>
  readonly logging: Pick<Config['logging'], 'filePath'>
}

/**
 * Creates the data directory if it is missing, and removes others' access to an existing one of ours, because kubelets
 * create it with 0755. Errors: `file.unsafe` if others can write to it, because their files cannot be distinguished from
 * ours.
 */
export async function openDataDirectory(
  { agent: { dataDir, socketPath }, security, logging }: PlaceSettings,
  { files, log }: { readonly files: Pick<Files, 'makeDirectory'>; readonly log: Pick<Log, 'info' | 'warn'> },
): Promise<void> {
  // If the data directory is below that of the cache, the latter first: missing parents are created open to others.
  const cache = dirname(security.cachePath)
  if (nameIn(cache, dataDir) !== null && checkDirectory(cache).state === 'missing') {
    await files.makeDirectory(cache, MODE)
  }
  await files.makeDirectory(dataDir, MODE)
  const opened = makePrivate(dataDir, {
    ours: [security.cachePath, logging.filePath].flatMap((path) =>
      path === null ? [] : (nameIn(dataDir, path) ?? []),
    ),
    forOthers: nameIn(dataDir, socketPath) === null ? null : 'the socket lies in it; give it a directory of its own',
  })
  if (opened === null) return
  const fields = { path: dataDir, mode: opened.mode?.toString(8).padStart(4, '0') ?? 'unknown' }
  if (opened.reason === null) log.info('Data directory tightened to 0700: others could look into it', fields)
  else log.warn('Data directory stays open to others', { ...fields, reason: opened.reason })
}
