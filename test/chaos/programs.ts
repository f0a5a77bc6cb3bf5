import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

/** The programs of a run, made of the sources as they are now. */
export interface Programs {
  readonly agent: string
  readonly workload: string
  readonly skew: string
}

/**
 * Makes the programs that the processes of a run are: the agent itself (its command line, nothing of a test in it), the
 * workload, and the module that shifts the agent's clock. `root` is the repository.
 */
export async function makePrograms(root: string, directory: string): Promise<Programs> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  // Packages are not bundled; they are found as if the programs lay in the repository.
  await symlink(join(root, 'node_modules'), join(directory, 'node_modules'))
  await build({
    entryPoints: {
      agent: join(root, 'agent/main/index.ts'),
      workload: join(root, 'test/chaos/workload.ts'),
      skew: join(root, 'test/chaos/skew.ts'),
    },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    define: { ICP_AGENT_VERSION: '"0.0.0-chaos"' },
    logLevel: 'error',
  })
  const program = (name: string) => join(directory, `${name}.mjs`)
  return { agent: program('agent'), workload: program('workload'), skew: program('skew') }
}
