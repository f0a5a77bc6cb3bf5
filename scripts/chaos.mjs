// `npm run chaos -- --minutes 60 --seed 1`: random faults for an agent, generated from a seed. See docs/reliability.md.
import './ensure-installed.mjs'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
process.chdir(root)
const directory = mkdtempSync(join(tmpdir(), 'icp-chaos-driver-'))
symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
const outfile = join(directory, 'main.mjs')
await build({
  entryPoints: [join(root, 'test/chaos/main.ts')],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'error',
})
try {
  await import(outfile)
} finally {
  rmSync(directory, { recursive: true })
}
