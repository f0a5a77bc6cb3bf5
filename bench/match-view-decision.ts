import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { EntryIndex } from '../agent/svids/entry-index.js'
import { decide } from '../agent/workload-api/decision.js'
import { Crowd } from '../test/simulation/crowd.js'

/**
 * The cost of match, view and decision without sockets: 10,000 entries, 1,000 workloads with a stream in each dialect, 600
 * issuances, changing labels, a new authority.
 */
const ENTRIES = 10_000
const WORKLOADS = 1_000
const MATCHED = 600

const say = (what: string, ms: number, per = '') =>
  process.stdout.write(`${what.padEnd(64)} ${ms.toFixed(2)} ms${per}\n`)
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** The median of several runs. */
function median(run: () => void, times = 9): number {
  const all = Array.from({ length: times }, () => {
    const began = performance.now()
    run()
    return performance.now() - began
  })
  return all.sort((a, b) => a - b)[Math.floor(times / 2)] ?? 0
}

const crowd = new Crowd({ entries: ENTRIES, workloads: WORKLOADS, matched: MATCHED })
crowd.open()
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const began = performance.now()
for (let n = 0; n < MATCHED; n++) {
  crowd.issue(n)
  if (n % 5 === 0) crowd.relabel((n / 5) % 20, n % (MATCHED / 2))
  await turn()
}
say(`${MATCHED} issuances and ${MATCHED / 5} changes of a label`, performance.now() - began)
delay.disable()
say('loop delay meanwhile, p99', delay.percentile(99) / 1e6)
// One at a time, because a stream with a message in flight sends nothing more.
const rotations: number[] = []
for (let n = 0; n < 5; n++) {
  rotations.push(median(() => crowd.rotate(), 1))
  await turn()
}
say('a new authority, pushed to 2,000 streams', rotations.sort((a, b) => a - b)[2] ?? 0)

const selectors = crowd.members.map((member) => new Map(Object.entries(member.selectors)))
const index = new EntryIndex(crowd.entries)
say(
  'index of 10,000 entries',
  median(() => void new EntryIndex(crowd.entries)),
)
say(
  'match of 1,000 workloads by index',
  median(() => selectors.forEach((known) => void index.match(known, [], 64))),
)
say(
  'the same, a platform unavailable (first match builds its index)',
  median(() => selectors.forEach((known) => void index.match(known, ['docker'], 64))),
)
say(
  'the same by a scan of all entries',
  median(() => crowd.members.forEach((member) => void crowd.scan(member)), 3),
)

const { current } = crowd.store
const [first] = selectors
const match = index.match(first ?? new Map(), [], 64)
say(
  '100,000 decisions',
  median(() => {
    for (let n = 0; n < 100_000; n++) {
      decide({
        refusal: null,
        attesting: false,
        waitMs: 0,
        match,
        snapshot: current,
        now: crowd.clock.now(),
        heldForMs: 0,
        holdMs: 4_000,
        served: match.ids,
        stopping: false,
      })
    }
  }, 3),
)
const [encoded] = crowd.encoded
process.stdout.write(`views encoded, in each dialect: ${encoded?.times}\n`)
