import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClientProcess, Told } from './client-process.js'
import { Environment, MY_UID, TRUST_DOMAIN, WEB } from './environment.js'
import { jwtStory } from './jwt-story.js'
import { cell } from './matrix.js'
import type { Program } from './programs.js'
import { nameOf } from './status-server.js'
import { neverAsksAgain, statusIn } from './statuses.js'
import type { Toolchain } from './toolchains.js'

export interface ClientUnderTest {
  /** Its row in docs/interop.md. */
  readonly name: string
  /** As its manifest pins it; the page says the same. */
  readonly version: string
  readonly toolchain: Toolchain
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

/** Serials of a line that tells of X.509-SVIDs. */
export function serials(told: Told): string[] {
  const svids = (told['svids'] ?? []) as { id: string; serial: string }[]
  return svids.filter(({ id }) => id === WEB).map(({ serial }) => serial)
}

/** How many authorities the bundle of the workloads' trust domain has. */
export function authorities(told: Told): number | undefined {
  return (told['authorities'] as Record<string, number>)[TRUST_DOMAIN]
}

/** Fetches until that is refused. */
export async function denied(workload: ClientProcess): Promise<Told> {
  for (let tries = 0; tries < 60; tries++) {
    const fetched = await workload.ask('fetch')
    if (fetched.error !== undefined) return fetched
    await sleep(500)
  }
  throw new Error('the client was not denied within 30 s')
}

/** What every client goes through: one agent, one process of the client, from its first SVID to the loss of it. */
export function story(client: ClientUnderTest): void {
  const { name, toolchain } = client
  const title = toolchain.missing === null ? name : `${name} (skipped: ${toolchain.missing})`
  describe.skipIf(toolchain.missing !== null)(title, () => {
    let environment: Environment
    let workload: ClientProcess
    let program: Program
    const seen = new Set<string>()

    /** The first SVID, told after `since`, that was never told before. */
    const newSerial = async (since = 0): Promise<void> => {
      const told = await workload.event('x509', (line) => serials(line).some((serial) => !seen.has(serial)), since)
      for (const serial of serials(told)) seen.add(serial)
    }

    beforeAll(async () => {
      program = await client.build()
      environment = await Environment.open({ server: { svidTtlSeconds: 12, jwtKid: true } })
      workload = environment.start(program, ['workload'])
    })
    afterAll(() => environment?.[Symbol.asyncDispose]())

    cell(name, 'version', 'is the one that the page names', async () => client.version)

    cell(name, 'X.509-SVID', 'gets its X.509-SVID and verifies it', async () => {
      const told = await workload.event('x509')
      for (const serial of serials(told)) seen.add(serial)
      expect(seen.size).toBe(1)
      await workload.event('x509-bundles', (line) => authorities(line) === 1)
      return 'verified'
    })

    cell(name, 'rotation', 'sees its X.509-SVID rotate', async () => {
      await newSerial()
      await newSerial()
      return 'seen'
    })

    cell(name, 'new authority', 'trusts a new authority and verifies what it issues', async () => {
      const since = workload.now
      await environment.server.rotateCa()
      await workload.event('x509-bundles', (line) => authorities(line) === 2, since)
      const pushed = workload.now
      await newSerial(pushed)
      await newSerial(pushed)
      return 'seen'
    })

    jwtStory(client.name, 'with kid', () => workload)

    client.more?.({ workload: () => workload, rotated: () => newSerial(workload.now) })

    cell(name, 'agent killed', 'comes back to an agent that was killed', async () => {
      await environment.agent.kill()
      const since = workload.now
      await environment.agent.start()
      await newSerial(since)
      return 'comes back'
    })

    cell(
      name,
      'entry taken away',
      'is denied when its entry is taken away, and served again when it is back',
      async () => {
        const [entry] = environment.server.entries
        await environment.server.deleteEntry(entry?.id ?? '')
        const fetch = await denied(workload)
        const source = await workload.ask('current')
        const since = workload.now
        await environment.server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': MY_UID } })
        await newSerial(since)
        return `${statusIn(fetch)}; its source ${source.error === undefined ? 'keeps the last SVID' : 'has none'}`
      },
    )

    describe('with tokens as the ICP server issues them', () => {
      let faithful: Environment
      let other: ClientProcess
      beforeAll(async () => {
        faithful = await Environment.open()
        other = faithful.start(program, ['workload'])
        await other.event('x509')
      })
      afterAll(() => faithful?.[Symbol.asyncDispose]())

      jwtStory(client.name, 'without kid', () => other)

      cell(name, 'never asks again after', 'comes back after every other status', async () => {
        const codes = await neverAsksAgain(faithful, () => program)
        expect(codes).not.toContain(status.UNAVAILABLE)
        expect(codes).not.toContain(status.PERMISSION_DENIED)
        return codes.map(nameOf).join(', ') || 'nothing'
      })
    })

    it('was told nothing that is broken', () => {
      expect(workload.told.filter(({ event }) => event === 'broken')).toEqual([])
    })
  })
}
