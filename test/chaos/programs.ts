import { bundlePrograms } from '../support/bundle-programs.js'

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
  return await bundlePrograms(root, directory, {
    agent: 'agent/main/index.ts',
    workload: 'test/chaos/workload.ts',
    skew: 'test/chaos/skew.ts',
  })
}
