import { codeOf } from '../errors.js'
import type { Files } from '../ports/files.js'

/** Where the configuration is looked for when no file is named, in this order. */
export const DEFAULT_CONFIG_PATHS = ['./config.yaml', '/etc/icp-agent/config.yaml'] as const

/** The file that was named, or the first default one that is there; where none is, the last one, as absent. */
export async function configPath(
  named: string | undefined,
  files: Pick<Files, 'read'>,
): Promise<{ readonly path: string; readonly explicitPath: boolean; readonly absent?: true }> {
  if (named !== undefined) return { path: named, explicitPath: true }
  for (const path of DEFAULT_CONFIG_PATHS) if (await exists(path, files)) return { path, explicitPath: false }
  return { path: DEFAULT_CONFIG_PATHS[1], explicitPath: false, absent: true }
}

/** A file that cannot be read is there all the same: whoever reads it says what is wrong. */
async function exists(path: string, files: Pick<Files, 'read'>): Promise<boolean> {
  try {
    return (await files.read(path, { maxBytes: 1024 * 1024 })) !== null
  } catch (error) {
    if (codeOf(error) === 'internal') throw error
    return true
  }
}
