import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The Node that images and single executables have. */
export function pinnedNode(): { readonly version: string; readonly integrity: Readonly<Record<string, string>> } {
  return JSON.parse(readFileSync('scripts/package/node.json', 'utf8'))
}

/** Its program for this machine, fetched where it is not there yet. */
export async function pinnedNodeBinary(): Promise<string> {
  const script = `import('./scripts/package/fetch.mjs').then((m) => console.log(m.nodePackage('${process.arch}')))`
  const { stdout } = await promisify(execFile)('node', ['--eval', script])
  return join(stdout.trim(), 'bin', 'node')
}
