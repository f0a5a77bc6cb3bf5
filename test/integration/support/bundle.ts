import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const repository = fileURLToPath(new URL('../../..', import.meta.url))

/**
 * Makes a program of the agent's own sources that a bare Node runs: in a namespace, with other capabilities, to be
 * killed. Imports in the source are relative to the repository.
 */
export async function bundle(
  path: string,
  source: string,
): Promise<{ readonly path: string; readonly env: NodeJS.ProcessEnv }> {
  await build({
    stdin: { contents: source, resolveDir: repository, loader: 'ts' },
    outfile: path,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['koffi'],
    logLevel: 'error',
  })
  // koffi is found as if the program lay in the repository.
  const modules = join(dirname(createRequire(import.meta.url).resolve('koffi')), '..')
  return { path, env: { PATH: process.env['PATH'] ?? '', NODE_PATH: modules } }
}
