import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { ClientProcess } from './client-process.js'
import { Environment } from './environment.js'
import { cell } from './matrix.js'
import type { ClientUnderTest } from './story.js'

/** A client that refuses SVIDs as the ICP server issues them by default; `event` tells of it, in these words. */
export function refusesBareSvids(
  { name, toolchain, build }: ClientUnderTest,
  { mode, event, words }: { readonly mode: string; readonly event: string; readonly words: RegExp },
): void {
  describe.skipIf(toolchain.missing !== null)('with SVIDs as the ICP server issues them by default', () => {
    let environment: Environment
    let workload: ClientProcess
    beforeAll(async () => {
      const program = await build()
      environment = await Environment.open()
      workload = environment.start(program, [mode])
    })
    afterAll(() => environment?.[Symbol.asyncDispose]())

    cell(name, 'SVID without BasicConstraints', 'refuses an SVID without BasicConstraints', async () => {
      const { error } = await workload.event(event, (told) => words.test(String(told['error'])))
      const [reason] = words.exec(String(error)) ?? []
      expect(reason).toBeDefined()
      return `refused: \`${reason}\``
    })
  })
}
