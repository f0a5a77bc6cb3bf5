import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultRequest } from '../../dev/icp-server/faults.js'
import { FLAWS } from '../../dev/icp-server/flaws.js'
import { damageCache } from './damage.js'
import { type Kind, type PlannedFault, pick } from './plan.js'
import type { Node, World } from './world.js'

/** Does a fault and undoes it; resolves at its end with how long until those concerned can know of it. */
type Deed = (world: World, fault: PlannedFault) => Promise<number>

/** Why this world cannot have the fault. */
class Impossible extends Error {}

/** Carries out one fault of the plan and enters it in the ledger. */
export async function commit(world: World, fault: PlannedFault): Promise<void> {
  const token = {}
  world.ledger.faultBegan(token, fault.kind)
  try {
    world.ledger.faultEnded(token, await DEEDS[fault.kind](world, fault))
  } catch (error) {
    if (!(error instanceof Impossible)) throw error
    world.ledger.faultSkipped(token, fault.kind, error.message)
  }
}

const DEEDS: Readonly<Record<Kind, Deed>> = {
  async kill(world, { lastsMs }) {
    const { agent } = worn(world)
    await agent.kill()
    await sleep(lastsMs)
    agent.start()
    return 0
  },

  async restart(world, { lastsMs }) {
    const { agent } = worn(world)
    await agent.stop()
    await sleep(lastsMs)
    agent.start()
    return 0
  },

  async 'server-away'(world, { lastsMs }) {
    await world.stopServer()
    await sleep(lastsMs)
    await world.startServer()
    return 0
  },

  'server-sick': (world, { lastsMs, draws }) => struck(world, lastsMs, pick(SICKNESSES, draws[0])),
  'server-lies': (world, { lastsMs, draws }) => struck(world, lastsMs, pick(LIES, draws[0])),
  'rate-limit': (world, { lastsMs }) =>
    struck(world, lastsMs, { kind: 'rate-limit', retry_after: 1 }).then(() => 1_500),

  async 'rotate-ca'(world) {
    await world.server?.rotateCa()
    return 0
  },

  async 'clock-jump'(world, { lastsMs, draws }) {
    const nodes = (draws[0] ?? 0) < 0.5 ? [worn(world)] : world.nodes
    const by = pick([15_000, -15_000, 600_000, -600_000, 3_600_000, -3_600_000, 86_400_000], draws[1]) ?? 0
    for (const node of nodes) {
      node.jump = by
      world.clockChanged(node)
    }
    await sleep(lastsMs)
    for (const node of nodes) {
      node.jump = 0
      world.clockChanged(node)
    }
    return 0
  },

  async suspend(world) {
    world.sleep(world.options.svidTtlSeconds * 1_100)
    return 0
  },

  async 'cache-damage'(world, { lastsMs, draws }) {
    const node = worn(world)
    await node.agent.kill()
    damageCache(node.dataDir, draws)
    await sleep(lastsMs)
    node.agent.start()
    return 0
  },

  async 'entry-churn'(world, { draws }) {
    const { server } = world
    const extras = server?.entries.filter((entry) => !entry.spiffeId.endsWith('/base')) ?? []
    const doomed = extras.length > 3 || (draws[0] ?? 0) < 0.4 ? pick(extras, draws[1]) : undefined
    if (doomed) await world.deleteEntry(doomed)
    else {
      const uid = pick(worn(world).uids, draws[2]) ?? null
      // An entry of the same selectors as another is never issued; these each ask for something more.
      const more = pick(moreOf(uid), draws[4])
      const taken = extras.some(({ selectors }) =>
        sameSelectors(selectors, { 'unix:uid': String(uid ?? process.getuid?.()), ...more }),
      )
      if (!taken) await world.createEntry(uid, `extra-${Math.floor((draws[3] ?? 0) * 1e6)}`, more)
    }
    return 0
  },

  async 'entry-gone'(world, { lastsMs, draws }) {
    const { uids } = worn(world)
    if (uids.length < 2) throw new Impossible('only root has workloads of several users')
    const uid = pick(uids, draws[0]) ?? null
    const own = world.server?.entries.filter((entry) => entry.spiffeId.includes(`/user/${uid}/`)) ?? []
    for (const entry of own) await world.deleteEntry(entry)
    await sleep(lastsMs)
    // The server may be away at the end of it.
    while (own.length > 0 && !world.server) await sleep(100)
    if (own.length > 0) await world.createEntry(uid, 'base')
    return world.options.syncMs * 1.1
  },

  async 'process-churn'(world, { draws }) {
    const { workloads, startWorkload } = worn(world)
    const doomed = pick(workloads, draws[0])
    if (!doomed) return 0
    workloads.splice(workloads.indexOf(doomed), 1)
    await doomed.kill()
    workloads.push(startWorkload(doomed.uid))
    return 0
  },

  async 'disk-full'(world, { lastsMs }) {
    if (!world.ownDisk) throw new Impossible('only root can have a disk of its own to fill')
    const ballast = join(world.directory, 'disk', 'ballast')
    for (const size of [4_194_304, 65_536, 4096, 64]) fill(ballast, size)
    await sleep(lastsMs)
    rmSync(ballast, { force: true })
    return 0
  },
}

const SICKNESSES: readonly FaultRequest[] = [
  { kind: 'status', status: 500 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 404 },
  { kind: 'drop', when: 'before' },
  { kind: 'drop', when: 'after' },
  { kind: 'latency', ms: 3_000 },
  { kind: 'latency', ms: 8_000 },
  { kind: 'slow-body', interval_ms: 1_000 },
  { kind: 'html', status: 502 },
]

const LIES: readonly FaultRequest[] = [
  ...FLAWS.map((flaw) => ({ kind: 'certificate' as const, flaw })),
  { kind: 'entries-null' },
  { kind: 'entries-null' },
  { kind: 'duplicate-ids' },
  { kind: 'malformed-entry' },
  { kind: 'csr-dropped' },
  { kind: 'ca-away' },
  { kind: 'html' },
  { kind: 'truncate' },
  { kind: 'huge-body' },
  { kind: 'server-key' },
]

/** Selectors that every workload of the user has besides its uid. */
function moreOf(uid: number | null): Readonly<Record<string, string>>[] {
  const gid = { 'unix:gid': String(uid ?? process.getgid?.()) }
  const path = { 'unix:path': process.execPath }
  const exe = { 'unix:exe': process.execPath }
  return [gid, path, exe, { ...gid, ...path }, { ...gid, ...exe }, { ...path, ...exe }]
}

async function struck(world: World, lastsMs: number, fault: FaultRequest | undefined): Promise<number> {
  const { server } = world
  if (!server || !fault) return 0
  using _fault = server.setFault(fault)
  await sleep(lastsMs)
  return 0
}

/** Pieces of the size until nothing more fits. */
function fill(path: string, size: number): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

function sameSelectors(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const text = (selectors: Readonly<Record<string, string>>) => JSON.stringify(Object.entries(selectors).sort())
  return text(a) === text(b)
}

function worn({ nodes: [node] }: World): Node {
  if (!node) throw new TypeError('there is no node')
  return node
}
