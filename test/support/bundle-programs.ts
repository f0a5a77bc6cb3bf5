import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

/**
 * Bundles programs of the repository at `root` as they are now, `NAME.mjs` in a directory that any user may read. Resolves
 * with where each is.
 */
export async function bundlePrograms<Name extends string>(
  root: string,
  directory: string,
  sources: Readonly<Record<Name, string>>,
): Promise<Readonly<Record<Name, string>>> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  // Packages are not bundled; they are found as if the programs lay in the repository.
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  const names = Object.keys(sources) as Name[]
  await build({
    entryPoints: Object.fromEntries(names.map((name) => [name, join(root, sources[name])])),
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    define: { ICP_AGENT_VERSION: '"0.0.0-test"' },
    logLevel: 'error',
  })
  return Object.fromEntries(names.map((name) => [name, join(directory, `${name}.mjs`)])) as Record<Name, string>
}
