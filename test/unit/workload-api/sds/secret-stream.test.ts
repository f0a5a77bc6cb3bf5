import { create, fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { apiEvents } from '../../../../agent/observability/api-events.js'
import { sdsEvents } from '../../../../agent/observability/sds-events.js'
import { stateOfTheWorld } from '../../../../agent/workload-api/sds/protocols.js'
import { SecretStream } from '../../../../agent/workload-api/sds/secret-stream.js'
import { Secrets } from '../../../../agent/workload-api/sds/secrets.js'
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '../../../../proto/gen/envoy/discovery_pb.js'
import { FakeClock } from '../../../fakes/clock.js'
import { bundlesOf, entryOf, issuedOf, snapshotOf } from '../../../fakes/identities.js'
import { RecordedSinks } from '../../../fakes/sinks.js'
import { FakeWorkload, workloadContext } from '../../../fakes/workload.js'

const MINE = { 'unix:uid': '1000' }

/** A workload with entries `a` and `b`, the older one first, and one stream. */
function setting() {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const served: string[] = []
  sinks.observers.push({ x509Served: (_to, svids) => served.push(...svids.map(({ svid }) => svid.spiffeId.path)) })
  const context = workloadContext({ clock })
  const { store } = context
  const workload = FakeWorkload.attested(MINE, [], context)
  const stream = new SecretStream(stateOfTheWorld, {
    names: { svid: 'default', bundle: 'ROOTCA', allBundles: 'ALL' },
    secrets: new Secrets(),
    settings: { allowUnauthenticatedVerifiers: false },
    snapshot: () => store.current,
    workload,
    validation: 'spiffe',
    events: sdsEvents(sinks, clock),
    apiEvents: apiEvents(sinks, clock),
  })
  const decide = () =>
    stream.decide({
      ...workload.decisionInput(),
      now: clock.now(),
      heldForMs: 0,
      holdMs: 4_000,
      served: null,
      stopping: false,
    })
  const show = (states: Readonly<Record<string, 'issued' | 'wanted'>>) => {
    const entries = Object.keys(states).map((id) => entryOf(id, { selectors: MINE, createdAt: id.charCodeAt(0) }))
    const issued = Object.entries(states).flatMap(([id, kind]) =>
      kind === 'issued' ? [[id, issuedOf(id, { notAfter: clock.now() + 3_600_000 })] as const] : [],
    )
    const bundles = bundlesOf('example.org')
    store.publish(snapshotOf(entries, Object.fromEntries(issued), { bundles }), { entries: 'all', bundles: true })
  }
  const ask = (...resourceNames: string[]) => stream.read(create(DiscoveryRequestSchema, { resourceNames }))
  /** What is sent now: the names, or how it was decided. */
  const send = () => {
    const decision = decide()
    if (decision.kind !== 'send') return decision.kind
    const content = stream.content()
    stream.serves(workload, content)
    return fromBinary(DiscoveryResponseSchema, stream.encode(content)).resources.length
  }
  return { clock, sinks, served, workload, stream, decide, show, ask, send }
}

describe('a stream for secrets', () => {
  it('waits for its first request', () => {
    const { show, decide } = setting()
    show({ a: 'issued' })
    expect(decide().kind).toBe('hold')
  })

  it('tells observers of SVIDs, and not of bundles', () => {
    const { show, ask, send, served } = setting()
    show({ a: 'issued' })
    ask('ROOTCA')
    expect(send()).toBe(1)
    expect(served).toEqual([])
    ask('ROOTCA', 'default')
    expect(send()).toBe(2)
    expect(served).toEqual(['/a'])
  })

  it('gives a named SVID at once, though the default one is not issued', () => {
    const { show, ask, send, decide } = setting()
    show({ a: 'wanted', b: 'issued' })
    ask('spiffe://example.org/b')
    expect(send()).toBe(1)
    ask('default')
    expect(decide().kind).toBe('hold')
  })

  it('never changes the default SVID because an older entry is not issued yet', () => {
    const { show, ask, send, served, decide } = setting()
    show({ b: 'issued' })
    ask('default')
    send()
    show({ a: 'wanted', b: 'issued' })
    // The SVID of the test is another object of the same content.
    expect(decide().kind).toBe('send')
    expect(served).toEqual(['/b'])
  })

  it('is refused once an SVID that it had is denied, and never for one that it had not', () => {
    const { show, ask, send, decide } = setting()
    show({ a: 'issued', b: 'issued' })
    ask('spiffe://example.org/b', 'spiffe://example.org/c')
    send()
    show({ a: 'issued' })
    expect(decide()).toMatchObject({ kind: 'refuse', code: 'entry.not_entitled' })
  })

  it('logs a denial once while it waits', () => {
    const { show, ask, decide, sinks } = setting()
    show({})
    ask('default')
    for (let i = 0; i < 3; i++) expect(decide().kind).toBe('hold')
    expect(sinks.lines.filter(({ event }) => event === 'Workload API call denied')).toHaveLength(1)
  })
})
