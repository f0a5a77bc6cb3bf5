// The agent as one CommonJS file, and the packages in it.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { MANIFEST, ROOT } from './paths.mjs'

const slimUndici = {
  name: 'undici',
  setup(build) {
    build.onResolve({ filter: /^undici$/ }, () => ({ path: join(ROOT, 'scripts/package/undici.mjs') }))
  },
}

const OPENTELEMETRY = 'api api-logs core otlp-transformer resources sdk-logs sdk-metrics sdk-trace'
  .split(' ')
  .map((name) => `@opentelemetry/${name}`)

/**
 * Resolves with `{ code, packages }`: the bundle and the folders (`node_modules/NAME`) of the packages that are in it. The
 * agent by default; `packaged-file.ts` is what starts it where it is a file.
 */
export async function bundle(entry = 'packaged.ts') {
  const result = await build({
    entryPoints: [join(ROOT, 'agent/main', entry)],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    // Keeps names, because people read stacks and error classes.
    keepNames: true,
    legalComments: 'none',
    // A single executable cannot import(); modules that are loaded on demand are in the bundle.
    supported: { 'dynamic-import': false },
    define: { ICP_AGENT_VERSION: JSON.stringify(MANIFEST.version), 'import.meta.url': '__bundleUrl' },
    banner: { js: "#!/usr/bin/env node\nconst __bundleUrl=require('node:url').pathToFileURL(__filename).href;" },
    plugins: [slimUndici],
    // Their CommonJS has no tree shaking: 300 kB more, which every process keeps in memory.
    alias: Object.fromEntries(
      OPENTELEMETRY.map((name) => [name, join(ROOT, 'node_modules', name, 'build/esm/index.js')]),
    ),
    // Dependencies require it only if it is installed.
    external: ['pino-pretty'],
    logLevel: 'warning',
  })
  if (result.warnings.length > 0) throw new Error('the bundle has warnings')
  // A file that is not all ASCII is two bytes a character in V8's memory: 6 MB more in every process. esbuild escapes all but
  // what regular expressions hold.
  const code = result.outputFiles[0].text.replace(/[^\0-\x7f]/g, escaped)
  return { code, packages: packagesIn(result.metafile) }
}

const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/** The folders (`node_modules/NAME`) of the packages that esbuild's metafile names. */
export function packagesIn({ inputs }) {
  const folders = Object.keys(inputs).flatMap((path) => {
    const match = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)
    return match ? [match[0]] : []
  })
  return [...new Set(folders)].sort()
}

/** The licenses of packages, as their folders hold them, one after the other. */
export function licenses(folders) {
  const texts = folders.map(({ title, folder }) => {
    const file = readdirSync(folder).find((name) => /^(?:licen[cs]e|copying)(?:\.|$)/i.test(name))
    const text = file ? readFileSync(join(folder, file), 'utf8').trim() : 'See the license named above.'
    return `${title}\n${'='.repeat(title.length)}\n\n${text}\n`
  })
  return texts.join('\n\n')
}
