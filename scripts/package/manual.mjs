// Man pages and completions, made from the table of commands and the settings.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { CACHE, MANIFEST, ROOT } from './paths.mjs'

/** Resolves with `{ pages, completions }`: texts of man pages by file name, and of completions by shell. */
export async function manual() {
  mkdirSync(CACHE, { recursive: true })
  // Below node_modules, so that it resolves the dependencies, which are external.
  const work = mkdtempSync(join(CACHE, '.manual-'))
  try {
    const outfile = join(work, 'manual.mjs')
    await build({
      entryPoints: [join(ROOT, 'agent/main/manual/manual-files.ts')],
      absWorkingDir: ROOT,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      outfile,
      logLevel: 'warning',
    })
    const { manualFiles } = await import(pathToFileURL(outfile).href)
    return await manualFiles(MANIFEST.version)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
