import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildSync } from 'esbuild'

/** The user `nobody`, whom root can become in a child process. */
export const NOBODY = 65534

/** True where `asNobody` works: only root may change its user. */
export const canBecomeNobody = process.geteuid?.() === 0

/**
 * Runs TypeScript source in a child process of the user nobody and returns the JSON that it prints. Imports in the
 * source are relative to `here` (`import.meta.dirname`).
 */
export function asNobody(here: string, source: string, args: readonly string[] = []): unknown {
  const { directory, command } = childOf(here, source, args)
  try {
    return JSON.parse(execFileSync('setpriv', command, { encoding: 'utf8', cwd: '/' }))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The same, while this process goes on: what the child asks may be here. */
export async function asNobodyMeanwhile(here: string, source: string, args: readonly string[] = []): Promise<unknown> {
  const { directory, command } = childOf(here, source, args)
  try {
    const { stdout } = await promisify(execFile)('setpriv', command, { encoding: 'utf8', cwd: '/' })
    return JSON.parse(stdout)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function childOf(here: string, source: string, args: readonly string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'icp-agent-child-'))
  chmodSync(directory, 0o755)
  const outfile = join(directory, 'child.mjs')
  buildSync({
    stdin: { contents: source, resolveDir: here, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile,
    logLevel: 'silent',
  })
  // System calls go through its native part, which is in no bundle, and this user may not reach the repository.
  for (const name of ['koffi', '@koromix']) {
    cpSync(join('node_modules', name), join(directory, 'node_modules', name), { recursive: true })
  }
  const become = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', '--']
  return { directory, command: [...become, process.execPath, outfile, ...args] }
}
