import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevIcpOptions } from '../../../dev/icp-server/options.js'
import type { ClientProcess } from './client-process.js'
import { Environment } from './environment.js'
import { jwtStory } from './jwt-story.js'
import type { Program } from './programs.js'
import { statusIn } from './statuses.js'
import { killedAgentStory, neverAgainStory, Serials, type Subject, svidStory, takenAwayStory } from './svid-story.js'
import type { Toolchain } from './toolchains.js'

export interface ClientUnderTest {
  /** Its row in docs/interop.md. */
  readonly name: string
  /** As its manifest pins it; the page says the same. */
  readonly version: string
  readonly toolchain: Toolchain
  /** What the ICP server must be told for this client; nothing where it takes what servers issue by default. */
  readonly server?: Partial<DevIcpOptions>
  /** Installs and builds it where that is not done yet. */
  build(): Promise<Program>
  /** More tests with the client, before its agent is killed. */
  more?(running: Running): void
}

export interface Running {
  readonly workload: () => ClientProcess
  /** Resolves at the next SVID that was never told before. */
  rotated(): Promise<void>
}

/** What every client goes through: one agent, one process of the client, from its first SVID to the loss of it. */
export function story(client: ClientUnderTest): void {
  const { name, toolchain, server = {} } = client
  const title = toolchain.missing === null ? name : `${name} (skipped: ${toolchain.missing})`
  describe.skipIf(toolchain.missing !== null)(title, () => {
    let environment: Environment
    let workload: ClientProcess
    let program: Program
    const subject: Subject = { environment: () => environment, workload: () => workload }
    const seen = new Serials(subject.workload)

    beforeAll(async () => {
      program = await client.build()
      environment = await Environment.open({ server: { svidTtlSeconds: 12, jwtKid: true, ...server } })
      workload = environment.start(program, ['workload'])
    })
    afterAll(() => environment?.[Symbol.asyncDispose]())

    svidStory(name, client.version, subject, seen)

    jwtStory(client.name, 'with kid', () => workload)

    client.more?.({ workload: () => workload, rotated: () => seen.next(workload.now) })

    killedAgentStory(name, subject, seen)

    takenAwayStory(name, subject, seen, (fetch, source) => {
      return `${statusIn(fetch)}; its source ${source.error === undefined ? 'keeps the last SVID' : 'has none'}`
    })

    describe('with tokens as the ICP server issues them', () => {
      let faithful: Environment
      let other: ClientProcess
      beforeAll(async () => {
        faithful = await Environment.open({ server })
        other = faithful.start(program, ['workload'])
        await other.event('x509')
      })
      afterAll(() => faithful?.[Symbol.asyncDispose]())

      jwtStory(client.name, 'without kid', () => other)

      neverAgainStory(
        name,
        () => faithful,
        () => program,
      )
    })

    it('was told nothing that is broken', () => {
      expect(workload.told.filter(({ event }) => event === 'broken')).toEqual([])
    })
  })
}
