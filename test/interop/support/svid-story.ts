import { setTimeout as sleep } from 'node:timers/promises'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import type { ClientProcess, Told } from './client-process.js'
import { type Environment, MY_UID, TRUST_DOMAIN, WEB } from './environment.js'
import { cell } from './matrix.js'
import type { Program } from './programs.js'
import { nameOf } from './status-server.js'
import { neverAsksAgain } from './statuses.js'

/** What is under test: one process of a client, in its environment. */
export interface Subject {
  environment(): Environment
  workload(): ClientProcess
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

/** The serials that a client has told of. */
export class Serials {
  readonly #seen = new Set<string>()

  constructor(private readonly workload: () => ClientProcess) {}

  /** Takes note of the first SVIDs; resolves with how many there are. */
  async first(): Promise<number> {
    this.#note(await this.workload().event('x509'))
    return this.#seen.size
  }

  /** Resolves at the first SVID, told after `since`, that was never told before. */
  async next(since = 0): Promise<void> {
    const isNew = (line: Told) => serials(line).some((serial) => !this.#seen.has(serial))
    this.#note(await this.workload().event('x509', isNew, since))
  }

  #note(told: Told): void {
    for (const serial of serials(told)) this.#seen.add(serial)
  }
}

/** The first SVID, the next ones, and those of another authority. */
export function svidStory(name: string, version: string, { environment, workload }: Subject, seen: Serials): void {
  cell(name, 'version', 'is the one that the page names', async () => version)

  cell(name, 'X.509-SVID', 'gets its X.509-SVID and verifies it', async () => {
    expect(await seen.first()).toBe(1)
    await workload().event('x509-bundles', (line) => authorities(line) === 1)
    return 'verified'
  })

  cell(name, 'rotation', 'sees its X.509-SVID rotate', async () => {
    await seen.next()
    await seen.next()
    return 'seen'
  })

  cell(name, 'new authority', 'trusts a new authority and verifies what it issues', async () => {
    const since = workload().now
    await environment().server.rotateCa()
    await workload().event('x509-bundles', (line) => authorities(line) === 2, since)
    const pushed = workload().now
    await seen.next(pushed)
    await seen.next(pushed)
    return 'seen'
  })
}

export function killedAgentStory(name: string, { environment, workload }: Subject, seen: Serials): void {
  cell(name, 'agent killed', 'comes back to an agent that was killed', async () => {
    await environment().agent.kill()
    const since = workload().now
    await environment().agent.start()
    await seen.next(since)
    return 'comes back'
  })
}

/** `told`: what the page says of a new fetch, and of what the client holds, while the entry is away. */
export function takenAwayStory(
  name: string,
  { environment, workload }: Subject,
  seen: Serials,
  told: (fetch: Told, current: Told) => string,
): void {
  const fact = 'is denied when its entry is taken away, and served again when it is back'
  cell(name, 'entry taken away', fact, async () => {
    const { server } = environment()
    const [entry] = server.entries
    await server.deleteEntry(entry?.id ?? '')
    const fetch = await denied(workload())
    const current = await workload().ask('current')
    const since = workload().now
    await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': MY_UID } })
    await seen.next(since)
    return told(fetch, current)
  })
}

/** The statuses after which the client never asks again; what the agent says when it stops or denies is none of them. */
export function neverAgainStory(name: string, environment: () => Environment, program: () => Program): void {
  cell(name, 'never asks again after', 'comes back after every other status', async () => {
    const codes = await neverAsksAgain(environment(), program)
    expect(codes).not.toContain(status.UNAVAILABLE)
    expect(codes).not.toContain(status.PERMISSION_DENIED)
    return codes.map(nameOf).join(', ') || 'nothing'
  })
}
