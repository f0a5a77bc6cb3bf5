import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fullPace, REQUESTS_OF_A_BUNDLE_POLL } from '../agent/icp/limits.js'
import { linePlot, type Series } from './line-plot.js'

/**
 * The cost of a node and a fleet, computed from the agent's rates, the default intervals and docs/benchmarks/figures.json.
 * Writes the tables and pictures of docs/scale.md.
 */
const HOUR = 60
/** Defaults, in minutes. */
const SYNC = { shortest: 0.5, longest: 10 } as const
const BUNDLE_POLL = 5
/** An SVID is renewed at about half of its life. */
const RENEWALS_A_LIFE = 2

interface Fleet {
  readonly nodes: number
  readonly identities: number
  readonly lifeHours: number
}

/** Requests a minute of the standard tier that one node makes: entries and renewals. */
function standard({ identities, lifeHours }: Fleet, syncMinutes: number): number {
  return 1 / syncMinutes + (identities * RENEWALS_A_LIFE) / (lifeHours * HOUR)
}

function all(fleet: Fleet, syncMinutes: number): number {
  return standard(fleet, syncMinutes) + REQUESTS_OF_A_BUNDLE_POLL / BUNDLE_POLL
}

function nodesAnAddress(fleet: Fleet, syncMinutes: number): number {
  const byTier = fullPace('standard') / standard(fleet, syncMinutes)
  const byService = fullPace('service') / all(fleet, syncMinutes)
  return Math.floor(Math.min(byTier, byService))
}

const number = (value: number) => {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(2)))
}

const FLEETS: readonly Fleet[] = [1_000, 100_000].flatMap((nodes) =>
  [
    { identities: 5, lifeHours: 1 },
    { identities: 20, lifeHours: 1 },
    { identities: 20, lifeHours: 24 },
    { identities: 100, lifeHours: 24 },
  ].map((more) => ({ nodes, ...more })),
)

function fleetTable(): string[] {
  const rows = FLEETS.map((fleet) => {
    const { nodes, identities, lifeHours } = fleet
    const quick = nodesAnAddress(fleet, SYNC.shortest)
    const slow = nodesAnAddress(fleet, SYNC.longest)
    const signatures = (nodes * identities * RENEWALS_A_LIFE) / (lifeHours * 3_600)
    const cells = [
      number(nodes),
      number(identities),
      `${lifeHours} h`,
      number(nodes * all(fleet, SYNC.shortest)),
      number(signatures),
      quick < 1 ? 'not one' : number(quick),
      quick < 1 ? '-' : number(Math.ceil(nodes / quick)),
      slow < 1 ? 'not one' : number(slow),
      slow < 1 ? '-' : number(Math.ceil(nodes / slow)),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    '| nodes | identities per node | life of an SVID | requests a minute in all | signatures a second | nodes per address, entries every 30 s | addresses | nodes per address, entries every 10 min | addresses |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
  ]
}

interface Costs {
  readonly streamKb: number
  readonly idleMb: number
  readonly warmMs: number
  readonly coldMs: number
  readonly pushMs: number
}

/** This agent's medians of the comparison: the cost of a stream, a fetch, a new process and a push. */
function costs(root: string): Costs {
  const figures = JSON.parse(readFileSync(join(root, 'docs/benchmarks/figures.json'), 'utf8')) as {
    readonly case: string
    readonly target: string
    readonly name: string
    readonly median: number
  }[]
  const of = (name: string, figure: string) => {
    const found = figures.find((one) => one.case === name && one.target === 'icp-agent' && one.name === figure)
    if (!found) throw new Error(`docs/benchmarks/figures.json has no ${figure} of ${name}: run beside-spire first`)
    return found.median
  }
  return {
    // Of a process after all cases; the stream's own share is smaller.
    streamKb: (1_000 * (of('memory', 'resident') - of('idle', 'idle resident'))) / 2_000,
    idleMb: of('idle', 'idle resident'),
    // Seconds for 1,000 are milliseconds for one.
    warmMs: of('warm-1', 'processor'),
    coldMs: of('cold-1', 'processor'),
    pushMs: of('entry-many', 'new authority, processor'),
  }
}

function nodeTable(cost: Costs): string[] {
  const rows = [100, 1_000, 10_000].map((workloads) => {
    const churn = (workloads / HOUR) * cost.coldMs
    const cells = [
      number(workloads),
      number(cost.idleMb + (workloads * cost.streamKb) / 1_000),
      number(workloads * cost.pushMs),
      `${number((workloads * cost.pushMs * RENEWALS_A_LIFE) / (3_600 * 10))} %`,
      `${number(churn / (60 * 10))} %`,
      number((workloads * RENEWALS_A_LIFE) / HOUR),
      workloads * RENEWALS_A_LIFE <= HOUR * (fullPace('standard') - 1 / SYNC.longest)
        ? '1 h'
        : `${number(shortestLife(workloads))} h`,
    ]
    return `| ${cells.join(' | ')} |`
  })
  return [
    '| workloads | resident, MB | one change for all, CPU ms | pushes of renewals, share of a core | each workload restarted once an hour, share of a core | renewals a minute at a life of an hour | shortest life that the rate limit allows |',
    '|---|---|---|---|---|---|---|',
    ...rows,
  ]
}

/** The shortest life of SVIDs, in hours, at which one address with the slowest sync can renew this many. */
function shortestLife(identities: number): number {
  return (identities * RENEWALS_A_LIFE) / (HOUR * (fullPace('standard') - 1 / SYNC.longest))
}

const root = process.cwd()
const page = join(root, 'docs/scale.md')
const parts = readFileSync(page, 'utf8').split(/(<!-- (?:end of )?(?:node|fleet) -->)/)
if (parts.length !== 9) throw new Error('docs/scale.md has no place for its tables')
parts[2] = `\n\n${nodeTable(costs(root)).join('\n')}\n\n`
parts[6] = `\n\n${fleetTable().join('\n')}\n\n`
writeFileSync(page, parts.join(''))
mkdirSync(join(root, 'docs/benchmarks'), { recursive: true })
const lives = Array.from({ length: 48 }, (_, n) => (n + 1) / 2)
const identitiesBehind = (hours: number, syncMinutes: number, nodes: number) =>
  Math.max(0, ((fullPace('standard') - nodes / syncMinutes) * hours * HOUR) / RENEWALS_A_LIFE)
writeFileSync(
  join(root, 'docs/benchmarks/scale.svg'),
  linePlot(
    [1, 5, 13, 50].map((nodes) => ({
      title: `SVIDs that one address carries, ${nodes} ${nodes === 1 ? 'node' : 'nodes'} behind it, by their life`,
      points: lives.map(
        (hours) => [hours, identitiesBehind(hours, nodes <= 5 ? SYNC.shortest : SYNC.longest, nodes)] as const,
      ),
    })),
    'hours of life',
  ),
)
const cost = costs(root)
const workloads = Array.from({ length: 50 }, (_, n) => 200 * (n + 1))
draw('scale-node.svg', 'workloads', [
  line('resident memory, MB', workloads, (n) => cost.idleMb + (n * cost.streamKb) / 1_000),
  line('one change for all, CPU ms', workloads, (n) => n * cost.pushMs),
  line('shortest life of SVIDs that one address renews, hours', workloads, shortestLife),
])
const nodes = Array.from({ length: 50 }, (_, n) => 2_000 * (n + 1))
const fleet = (lifeHours: number) => ({ nodes: 1, identities: 20, lifeHours })
const addresses = (n: number, lifeHours: number, sync: number) => Math.ceil(n / nodesAnAddress(fleet(lifeHours), sync))
draw('scale-fleet.svg', 'nodes with 20 identities', [
  line('requests a minute, lives of an hour', nodes, (n) => n * all(fleet(1), SYNC.shortest)),
  line('signatures a second, lives of an hour', nodes, (n) => (n * 20 * RENEWALS_A_LIFE) / 3_600),
  line('addresses, lives of an hour, entries every 30 s', nodes, (n) => addresses(n, 1, SYNC.shortest)),
  line('addresses, lives of 24 hours, entries every 10 min', nodes, (n) => addresses(n, 24, SYNC.longest)),
])

function line(title: string, xs: readonly number[], of: (x: number) => number): Series {
  return { title, points: xs.map((x) => [x, of(x)] as const) }
}

function draw(file: string, unitOfX: string, series: readonly Series[]): void {
  writeFileSync(join(root, 'docs/benchmarks', file), linePlot(series, unitOfX))
}

process.stdout.write(`Written to ${page}\n`)
