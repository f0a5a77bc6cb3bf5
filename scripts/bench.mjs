// `node scripts/bench.mjs NAME`: bundles bench/NAME.ts and runs it. It produces the figures of docs/performance.md.
import './ensure-installed.mjs'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const names = readdirSync(join(root, 'bench')).flatMap((file) => (file.endsWith('.ts') ? [file.slice(0, -3)] : []))
const [name, ...args] = process.argv.slice(2)
if (!names.includes(name)) {
  process.stderr.write(`Usage: node scripts/bench.mjs ${names.join('|')}\n`)
  process.exitCode = 2
} else {
  const directory = mkdtempSync(join(tmpdir(), 'icp-bench-'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const outfile = join(directory, `${name}.mjs`)
  const common = { bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20' }
  await build({ ...common, entryPoints: [join(root, 'bench', `${name}.ts`)], outfile, logLevel: 'error' })
  try {
    const { status } = spawnSync(process.execPath, ['--expose-gc', outfile, ...args], { stdio: 'inherit', cwd: root })
    process.exitCode = status ?? 1
  } finally {
    rmSync(directory, { recursive: true })
  }
}
