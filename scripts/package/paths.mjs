// The paths of packaging.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
export const LOCK = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
/** Files that are fetched once: Node's binaries, and the native library for the other architecture. */
export const CACHE = join(ROOT, 'node_modules', '.cache', 'icp-package')

export function say(text) {
  process.stderr.write(`${text}\n`)
}
