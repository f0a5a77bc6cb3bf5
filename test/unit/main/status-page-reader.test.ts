import { describe, expect, test } from 'vitest'
import { status } from '../../../agent/admin/routes/status.js'
import { AgentError } from '../../../agent/errors.js'
import { AgentReader } from '../../../agent/main/status-page/agent-reader.js'
import { sectionsOf, statusPage, toldOf } from '../../../agent/main/status-page/document.js'
import { viewOf } from '../../../agent/main/status-page/view.js'
import { adminSourcesWith } from '../../fakes/admin.js'
import { FakeClock } from '../../fakes/clock.js'

const NOW = '2026-01-01T00:00:00.000Z'
const LATER = '2026-01-01T01:00:00.000Z'
const signal = new AbortController().signal
const HOSTILE = '</td><script>alert(1)</script>"\u001b[2J\u202e'

/** An agent with many rows; a list takes it `listMs`. */
class ManyRows {
  asked: string[] = []
  trouble: AgentError | null = null
  constructor(
    private readonly clock: FakeClock,
    readonly rows: number,
    readonly listMs = 0,
  ) {}

  async get(_: unknown, path: string): Promise<never> {
    this.asked.push(path)
    if (this.trouble) throw this.trouble
    return status.schema.parse(await status.answer(adminSourcesWith({}))) as never
  }

  async list({ path }: { readonly path: string }): Promise<never> {
    this.asked.push(path)
    if (this.listMs > 0) await this.clock.sleep(this.listMs)
    const make = { '/v1/workloads': workload, '/v1/entries': entry, '/v1/denials': denied, '/v1/bundles': null }[path]
    const rows = make ? Array.from({ length: this.rows }, (_, i) => make(i)) : []
    return { rows, evicted: 0 } as never
  }
}

const place = { container: null, pod: null, unit: HOSTILE }

function workload(i: number) {
  const streams = [{ dialect: 'spiffe', method: 'FetchX509SVID', since: NOW, sends: 1 }]
  return {
    ...{
      pid: i + 1,
      uid: 1000,
      gid: 1000,
      program: `/usr/bin/${HOSTILE}`,
      ...place,
      state: i % 7 ? 'served' : 'waiting',
    },
    ...{ spiffe_ids: [`spiffe://example.org/web-${i}`], entry_ids: [`e${i}`], selectors: { 'unix:uid': HOSTILE } },
    ...{ unavailable: [], notes: [HOSTILE], connected_at: NOW, connections: 1, streams },
    ...{ svid_issued_at: NOW, svid_expires_at: LATER, denial: null, error: null },
  }
}

function entry(i: number) {
  const svid = { serial: String(i), issued_at: NOW, expires_at: LATER, renew_at: LATER }
  return {
    ...{ id: `e${i}`, spiffe_id: `spiffe://example.org/${HOSTILE}`, assigned: true, selectors: { a: HOSTILE } },
    ...{
      ttl_seconds: null,
      created_at: null,
      state: i % 9 ? 'issued' : 'refused',
      since: NOW,
      code: 'x',
      reason: HOSTILE,
    },
    ...{ retry_at: LATER, failures: 1, svid, wanted_by: 1 },
  }
}

function denied(i: number) {
  return {
    ...{ id: `d${i}`, time: NOW, last_time: NOW, count: 1, pid: i, uid: 1, gid: 1, program: HOSTILE, ...place },
    ...{ method: 'FetchX509SVID', code: 'entry.none', reason: HOSTILE },
  }
}

describe('the page of two thousand workloads and ten thousand entries', () => {
  test('is as small as one of fifty rows, what needs a look comes first, and nobody writes into it', async () => {
    const clock = new FakeClock()
    const reader = new AgentReader(new ManyRows(clock, 2_000), clock)
    await reader.fresh(signal)
    const content = { look: reader.look, trouble: reader.trouble, now: clock.now() }
    const { text } = statusPage(content, viewOf(new URLSearchParams('workloads.page=2')))
    expect(text.length).toBeLessThan(250_000)
    expect(text.match(/<script/g)).toHaveLength(1)
    for (const obeyed of ['\u001b', '\u202e']) expect(text).not.toContain(obeyed)
    expect(reader.look?.workloads.slice(0, 285).every(({ state }) => state === 'waiting')).toBe(true)
    expect(text).toContain('Page 2 of 80')
  })

  test('says in events only what has changed', async () => {
    const clock = new FakeClock()
    const reader = new AgentReader(new ManyRows(clock, 100), clock)
    await reader.fresh(signal)
    const versions = () => {
      const content = { look: reader.look, trouble: reader.trouble, now: clock.now() }
      return sectionsOf(content, viewOf(new URLSearchParams())).map(({ id, version }) => `${id} ${version}`)
    }
    const before = versions()
    await clock.advance(3_000)
    expect(versions()).toEqual(before)
  })
})

describe('reading', () => {
  test('happens only while somebody watches, and lists that cost take a hundredth of the time', async () => {
    const clock = new FakeClock()
    const agent = new ManyRows(clock, 1, 50)
    const reader = new AgentReader(agent, clock)
    const stop = new AbortController()
    const running = reader.run(stop.signal)
    await clock.advance(60_000)
    expect(agent.asked).toEqual([])
    const watch = reader.watch(() => undefined)
    await clock.advance(100_000)
    const asked = (path: string) => agent.asked.filter((one) => one === path).length
    // Four lists of 50 ms: once in 20 s.
    expect(asked('/v1/entries')).toBeGreaterThanOrEqual(4)
    expect(asked('/v1/entries')).toBeLessThanOrEqual(6)
    expect(asked('/v1/status')).toBeGreaterThan(30)
    watch[Symbol.dispose]()
    const before = agent.asked.length
    await clock.advance(60_000)
    expect(agent.asked.length).toBe(before)
    stop.abort()
    await expect(running).rejects.toBe(stop.signal.reason)
    expect(clock.pending).toBe(0)
  })

  test('what was known stays while the agent does not answer, and that is said since when', async () => {
    const clock = new FakeClock()
    const agent = new ManyRows(clock, 1)
    const reader = new AgentReader(agent, clock)
    await reader.fresh(signal)
    agent.trouble = new AgentError('admin.unreachable', 'nobody is there')
    await clock.advance(5_000)
    const since = clock.now()
    await reader.fresh(signal)
    await clock.advance(5_000)
    await reader.fresh(signal)
    expect(reader.trouble).toEqual({ code: 'admin.unreachable', message: 'nobody is there', since })
    expect(reader.look?.workloads).toHaveLength(1)
    expect(toldOf({ look: reader.look, trouble: reader.trouble, now: 0 })).toBe('The agent does not answer')
    agent.trouble = null
    await clock.advance(5_000)
    await reader.fresh(signal)
    expect(reader.trouble).toBeNull()
  })
})
