// The library icp-agent/client: one ES module with its dependencies, and its types, which need only those of Node.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { build } from 'esbuild'
import { packagesIn } from './bundle.mjs'
import { run } from './fetch.mjs'
import { ROOT } from './paths.mjs'

/** Writes it; resolves with `{ main, types, packages }`: its two entry points, relative to the folder, and its packages. */
export async function writeClientLibrary(folder) {
  const result = await build({
    entryPoints: [join(ROOT, 'agent/client/index.ts')],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Keeps names, because people read stacks.
    keepNames: true,
    legalComments: 'none',
    // grpc-js is CommonJS and requires modules of Node.
    banner: { js: "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)" },
    logLevel: 'warning',
  })
  if (result.warnings.length > 0) throw new Error('the bundle of icp-agent/client has warnings')
  mkdirSync(folder)
  writeFileSync(join(folder, 'index.js'), result.outputFiles[0].text)
  return { main: 'index.js', types: writeTypes(folder), packages: packagesIn(result.metafile) }
}

/** Writes the declarations that the entry point uses; returns the path of its own. */
function writeTypes(folder) {
  const work = mkdtempSync(join(tmpdir(), 'icp-types-'))
  try {
    run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.client.json', '--outDir', work], ROOT)
    const entry = 'agent/client/index.d.ts'
    for (const path of reached(join(work, entry))) {
      const target = join(folder, 'types', relative(work, path))
      mkdirSync(dirname(target), { recursive: true })
      cpSync(path, target)
    }
    return `types/${entry}`
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function reached(path, seen = new Set()) {
  if (seen.has(path)) return seen
  seen.add(path)
  for (const [, specifier] of readFileSync(path, 'utf8').matchAll(/(?:\bfrom |\bimport\()['"]([^'"]+)['"]/g)) {
    if (specifier.startsWith('.')) reached(resolve(dirname(path), specifier.replace(/\.js$/, '.d.ts')), seen)
    else if (!specifier.startsWith('node:')) throw new Error(`${path} needs the types of ${specifier}`)
  }
  return seen
}
