import { codeOf } from '../errors.js'
import type { Files } from '../ports/files.js'

/** Default paths of the configuration file, tried in this order. */
export const DEFAULT_CONFIG_PATHS = ['./config.yaml', '/etc/icp-agent/config.yaml'] as const

/** The file that was named, else the first default path that exists, else the last one. */
export async function configPath(
  named: string | undefined,
  files: Pick<Files, 'read'>,
): Promise<{ readonly path: string; readonly explicitPath: boolean; readonly absent?: true }> {
  if (named !== undefined) return { path: named, explicitPath: true }
  for (const path of DEFAULT_CONFIG_PATHS) if (await exists(path, files)) return { path, explicitPath: false }
  return { path: DEFAULT_CONFIG_PATHS[1], explicitPath: false, absent: true }
}

/** A file that cannot be read exists: its reader reports why it cannot be read. */
async function exists(path: string, files: Pick<Files, 'read'>): Promise<boolean> {
  try {
    return (await files.read(path, { maxBytes: 1024 * 1024 })) !== null
  } catch (error) {
    if (codeOf(error) === 'internal') throw error
    return true
  }
}
