import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  DeltaSubscription,
  StateSubscription,
  type Versioned,
  type WantedSecrets,
} from '../../agent/workload-api/sds/subscription.js'
import { runs } from './fuzz.js'

const NAMES = ['a', 'b', 'c', 'spiffe://d/x']
const anyName = fc.constantFrom(...NAMES, '', '*')
const nonce = fc.constantFrom('last', 'older', 'none', 'garbage') satisfies fc.Arbitrary<string>
const step = fc.oneof(
  // What there is changes.
  fc.record({ kind: fc.constant('put' as const), name: fc.constantFrom(...NAMES), version: fc.nat(3) }),
  fc.record({ kind: fc.constant('take' as const), name: fc.constantFrom(...NAMES) }),
  // The client says something.
  fc.record({
    kind: fc.constant('ask' as const),
    names: fc.array(anyName, { maxLength: 4 }),
    leave: fc.array(anyName, { maxLength: 3 }),
    nonce,
    rejects: fc.boolean(),
  }),
)
const steps = fc.array(step, { maxLength: 40 })
type Ask = Extract<typeof step extends fc.Arbitrary<infer T> ? T : never, { kind: 'ask' }>

const REFUSAL = { $typeName: 'google.rpc.Status' as const, code: 13, message: 'no' }

/** What the agent would find for what is wanted. */
function found(there: ReadonlyMap<string, string>, wanted: WantedSecrets): Versioned[] {
  const names = wanted.all ? [...there.keys()] : [...wanted.names]
  return names.flatMap((name) => {
    const version = there.get(name)
    return version === undefined ? [] : [{ name, version }]
  })
}

interface Peer<S> {
  /** Reads a request; false: it does not count. */
  readonly hear: (stream: S, ask: Ask, nonce: string) => void
  /** What the client has after a response. */
  readonly take: (held: Map<string, string>, secrets: readonly Versioned[], removed: readonly string[]) => void
  /** What it should have in the end. */
  readonly due: (there: ReadonlyMap<string, string>, wanted: WantedSecrets, held: ReadonlyMap<string, string>) => void
}

/** Plays the steps against a stream, with whatever the client does; returns what it holds. */
function play<S extends DeltaSubscription<Versioned> | StateSubscription<Versioned>>(
  stream: S,
  todo: readonly (typeof steps extends fc.Arbitrary<infer T> ? T : never)[number][],
  { hear, take, due }: Peer<S>,
): void {
  const there = new Map<string, string>()
  const held = new Map<string, string>()
  const nonces: string[] = []
  const sendAll = () => {
    const { wanted } = stream
    if (wanted === null) return
    const available = found(there, wanted)
    const update = stream.next(available)
    if (update !== null) {
      const said = `n${nonces.length + 1}`
      // Nothing is told that is not asked for, or that is not there.
      for (const { name, version } of update.secrets) {
        expect(wanted.all || wanted.names.has(name), name).toBe(true)
        expect(there.get(name)).toBe(version)
      }
      for (const name of update.removed) expect(there.has(name)).toBe(false)
      expect(update.secrets.length + update.removed.length).toBeGreaterThan(0)
      stream.sent(update, said)
      nonces.push(said)
      take(held, update.secrets, update.removed)
    }
    // What was sent is not sent again.
    expect(stream.next(available)).toBeNull()
    due(there, wanted, held)
  }
  for (const one of todo) {
    if (one.kind === 'put') there.set(one.name, String(one.version))
    else if (one.kind === 'take') there.delete(one.name)
    else {
      const meant = { last: nonces.at(-1) ?? '', older: nonces.at(-2) ?? 'n0', none: '', garbage: 'x' }[one.nonce]
      hear(stream, one, meant)
      for (const name of one.leave) if (stream instanceof DeltaSubscription && name !== '*') held.delete(name)
    }
    sendAll()
  }
  // A client that accepts what it has is left alone.
  const ack: Ask = { kind: 'ask', names: [], leave: [], nonce: 'last', rejects: false }
  if (stream instanceof DeltaSubscription && stream.wanted !== null) hear(stream, ack, nonces.at(-1) ?? '')
  sendAll()
}

describe('a stream of secrets, whatever its client says and whatever changes', () => {
  test('of whole states tells what is asked for and there, once, and ends with all of it', () => {
    fc.assert(
      fc.property(steps, (todo) => {
        play(new StateSubscription<Versioned>(), todo, {
          hear: (stream, { names, rejects }, responseNonce) => {
            stream.read({ resourceNames: names, responseNonce, ...(rejects ? { errorDetail: REFUSAL } : {}) })
          },
          take: (held, secrets) => {
            held.clear()
            for (const { name, version } of secrets) held.set(name, version)
          },
          due: (there, wanted, held) => {
            const all = found(there, wanted)
            // Without anything to show it keeps what it had: an empty state would take everything away.
            if (all.length === 0) return
            for (const { name, version } of all) expect(held.get(name)).toBe(version)
          },
        })
      }),
      runs(1_500),
    )
  })

  test('of differences likewise, and says what is gone of what came with everything', () => {
    fc.assert(
      fc.property(steps, (todo) => {
        play(new DeltaSubscription<Versioned>(), todo, {
          hear: (stream, { names, leave, rejects }, responseNonce) => {
            stream.read({
              resourceNamesSubscribe: names,
              resourceNamesUnsubscribe: leave,
              responseNonce,
              ...(rejects ? { errorDetail: REFUSAL } : {}),
            })
          },
          take: (held, secrets, removed) => {
            for (const name of removed) held.delete(name)
            for (const { name, version } of secrets) held.set(name, version)
          },
          due: (there, wanted, held) => {
            for (const { name, version } of found(there, wanted)) expect(held.get(name)).toBe(version)
            if (!wanted.all) return
            for (const name of held.keys()) expect(there.has(name) || wanted.names.has(name), name).toBe(true)
          },
        })
      }),
      runs(1_500),
    )
  })
})
