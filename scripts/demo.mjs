// `npm run demo`: installs and builds if necessary, then runs dev/demo. Plain Node, so that it runs on a fresh checkout;
// all output but that of the demo goes to stderr.
import './ensure-installed.mjs'
import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const SOURCES = ['agent', 'attestors', 'proto', 'dev', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
const entry = join(root, 'dist/dev/demo/main.js')
/** Written after a successful build, so that the output of a failed one does not count as up to date. */
const stamp = join(root, 'dist/.built')

/** The time of the newest file below a path, in milliseconds; 0: none. */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat) return 0
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

const built = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0
if (SOURCES.some((path) => newest(join(root, path)) > built)) {
  process.stderr.write('Building …\n')
  const began = new Date()
  await import('./build.mjs')
  writeFileSync(stamp, '')
  // A source that is changed during the compilation is newer than this time.
  utimesSync(stamp, began, began)
}
const { demo } = await import(entry)
process.exitCode = await demo(process.argv.slice(2))
