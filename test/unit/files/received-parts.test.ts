import { expect, test } from 'vitest'
import type { HeldJwtSvid, JwtBundleSet } from '../../../agent/client/jwt.js'
import type { Retry } from '../../../agent/client/watch.js'
import type { X509Context } from '../../../agent/client/x509-context.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError } from '../../../agent/errors.js'
import { DEFAULT_PLAN, type FilePlan } from '../../../agent/files/file-plan.js'
import type { Received } from '../../../agent/files/output-files.js'
import { type PartsOptions, ReceivedParts } from '../../../agent/files/received-parts.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { FakeClock } from '../../fakes/clock.js'
import { svidOf } from '../../fakes/identities.js'

const WEB = SpiffeId.parse('spiffe://one.example/web')
const JWT_ONLY: FilePlan = {
  ...DEFAULT_PLAN,
  certificate: null,
  key: null,
  bundle: null,
  combined: null,
  jwtSvids: [{ name: 't', audience: ['billing'] }],
}

/** Resolves when it is aborted. */
const over = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}

function scene(plan: FilePlan, fetch: (clock: FakeClock) => HeldJwtSvid) {
  const clock = new FakeClock()
  const retries: Retry[] = []
  const seen: Received[] = []
  const stop = new AbortController()
  let calls = 0
  const client: PartsOptions['client'] = {
    async *watchX509Svids(signal = stop.signal): AsyncGenerator<X509Context> {
      await over(signal)
      yield* []
    },
    async *watchJwtBundles(signal = stop.signal): AsyncGenerator<JwtBundleSet> {
      yield new Map([['one.example', '{"keys":[]}']])
      await over(signal)
    },
    async fetchJwtSvids() {
      calls++
      return [fetch(clock)]
    },
  }
  const onRetry = (retry: Retry) => void retries.push(retry)
  const parts = new ReceivedParts({ client, clock, plan, choice: { spiffeId: null, hint: null }, onRetry })
  const done = (async () => {
    for await (const value of parts.follow(stop.signal)) seen.push(value)
  })()
  return { clock, retries, seen, done, stop, calls: () => calls }
}
const token = (clock: FakeClock, lifeMs: number): HeldJwtSvid => ({
  spiffeId: WEB,
  hint: '',
  token: new Secret(`token of ${clock.now()}`),
  expiresAt: clock.now() + lifeMs,
  audience: ['billing'],
})

test('a token is asked for again when half of its life is over', async () => {
  const { clock, seen, calls, stop, done } = scene(JWT_ONLY, (now) => token(now, 60_000))
  await settled()
  expect([calls(), seen.length]).toEqual([1, 1])
  await clock.advance(29_999)
  expect(calls()).toBe(1)
  await clock.advance(1)
  await settled()
  expect([calls(), seen.length]).toEqual([2, 2])
  stop.abort()
  await done
  expect(clock.pending).toBe(0)
})

test('the same token again is no change', async () => {
  const { clock, seen, calls, stop, done } = scene(JWT_ONLY, () => ({
    ...token(new FakeClock(), 60_000),
    token: new Secret('the same'),
  }))
  await clock.advance(59_000)
  await settled()
  expect(calls()).toBeGreaterThan(1)
  expect(seen).toHaveLength(1)
  stop.abort()
  await done
})

test('nothing is given out before every part is there', async () => {
  const { seen, stop, done } = scene({ ...DEFAULT_PLAN, jwks: 'jwks.json' }, (clock) => token(clock, 1))
  await settled()
  expect(seen).toEqual([])
  stop.abort()
  await done
})

test('a failure that passes is told of and tried again; one that does not ends it', async () => {
  let failure: AgentError | null = new AgentError('client.unavailable', 'not yet')
  const { clock, retries, seen, done } = scene(JWT_ONLY, (now) => {
    if (failure) throw failure
    return token(now, 60_000)
  })
  await settled()
  expect(retries).toMatchObject([{ delayMs: 1_000, attempt: 1 }])
  failure = null
  await clock.advance(1_000)
  await settled()
  expect(seen).toHaveLength(1)
  failure = new AgentError('client.unimplemented', 'never')
  const ended = expect(done).rejects.toBe(failure)
  await clock.advance(30_000)
  await ended
})

test('that the identity which is meant is not among those received is told once, until it was there', async () => {
  const received = (id: string): X509Context => {
    const svid = svidOf(id, { domain: 'one.example' })
    const bundle = { trustDomain: 'one.example', authorities: [] }
    return { svids: [{ svid, bundle, hint: '' }], federated: new Map() }
  }
  const retries: Retry[] = []
  const client = {
    async *watchX509Svids(signal: AbortSignal) {
      for (const id of ['api', 'api', 'web', 'api']) yield received(id)
      await over(signal)
    },
  } as Partial<PartsOptions['client']> as PartsOptions['client']
  const choice = { spiffeId: WEB.uri, hint: null }
  const onRetry = (retry: Retry) => void retries.push(retry)
  const parts = new ReceivedParts({ client, clock: new FakeClock(), plan: DEFAULT_PLAN, choice, onRetry })
  const stop = new AbortController()
  const done = (async () => {
    for await (const _ of parts.follow(stop.signal));
  })()
  await settled()
  expect(retries.map(({ error }) => error.code)).toEqual(['client.denied', 'client.denied'])
  stop.abort()
  await done
})
