import { fromBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { JWTSVIDResponseSchema, ValidateJWTSVIDResponseSchema } from '../../../proto/gen/spiffe/workload_pb.js'
import { type CallWorld, callWorld, entry, HOLD_MS } from './call-world.js'

let world: CallWorld
const refusedWith = (code: status) => ({ error: expect.objectContaining({ code }) })
const failing = (code: AgentError['code']) => () => Promise.reject(new AgentError(code, `it is ${code}`))

/** SPIFFE IDs of the tokens that were answered. */
async function identities({ ended }: ReturnType<CallWorld['fetch']>): Promise<string[]> {
  const answer = await ended
  if ('error' in answer) throw answer.error
  return fromBinary(JWTSVIDResponseSchema, answer.message).svids.map(({ spiffeId, svid }) => {
    expect(svid).toBe(`token of ${spiffeId}`)
    return spiffeId
  })
}

beforeEach(() => {
  world = callWorld()
  world.setEntries(entry('e1', '/web'), entry('e2', '/api'), entry('e3', '/other', '2000'))
})

test('each call is counted under its service, also one that is refused at once', async () => {
  await world.fetch().ended
  await world.validate('token', 'db', { metadata: {} }).ended
  expect(world.sinks.total('icp_agent_calls_begun_total', { service: 'SpiffeWorkloadAPI' })).toBe(2)
})

describe('FetchJWTSVID answers', () => {
  test('a token for every identity of the caller, oldest entry first', async () => {
    expect(await identities(world.fetch())).toEqual(['spiffe://td/web', 'spiffe://td/api'])
  })
  test('a token for the one that was asked for', async () => {
    expect(await identities(world.fetch(['db'], 'spiffe://td/api'))).toEqual(['spiffe://td/api'])
    expect(world.wanted).toHaveLength(1)
  })
  test('with many identities without a word on the standard error output', async () => {
    const warned: Error[] = []
    const listener = (warning: Error) => warned.push(warning)
    process.on('warning', listener)
    world.setEntries(...Array.from({ length: 12 }, (_, i) => entry(`e${i}`, `/n${i}`)))
    const { token } = world.script
    world.script.token = (subject, signal) => {
      signal.addEventListener('abort', () => undefined)
      return token(subject, signal)
    }
    expect(await identities(world.fetch())).toHaveLength(12)
    await new Promise<void>((resolve) => setImmediate(resolve))
    process.off('warning', listener)
    expect(warned).toEqual([])
  })
  test('and aborts nothing when gRPC says afterwards that the call is over', async () => {
    const signals: AbortSignal[] = []
    const { token } = world.script
    world.script.token = (subject, signal) => {
      signals.push(signal)
      return token(subject, signal)
    }
    const call = world.fetch(['db'], 'spiffe://td/api')
    await call.ended
    call.cancel()
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
  })
  test('one token for an identity that two entries name', async () => {
    world.setEntries(entry('e1', '/web'), entry('e2', '/web'))
    expect(await identities(world.fetch())).toEqual(['spiffe://td/web'])
    expect(world.wanted.map(({ subject }) => subject.entryId)).toEqual(['e1'])
  })
  test('with the same set of audiences in whatever order and however often', async () => {
    await world.fetch(['b', 'a', 'b']).ended
    expect(world.wanted[0]?.subject.audience).toEqual(['a', 'b'])
  })
  test('within the time that the client has left, at most ten seconds', async () => {
    await world.fetch(['db'], '', { deadline: world.clock.now() + 3_000 }).ended
    await world.fetch().ended
    expect(world.wanted.map(({ deadlineMs }) => deadlineMs)).toEqual([3_000, 3_000, 10_000, 10_000])
  })
  test('the identities that the server does not refuse for good', async () => {
    const { token } = world.script
    world.script.token = (subject, signal) =>
      subject.entryId === 'e1' ? failing('icp.forbidden')() : token(subject, signal)
    expect(await identities(world.fetch())).toEqual(['spiffe://td/api'])
  })
})

describe('FetchJWTSVID refuses', () => {
  test.each<[string, readonly string[], string, status]>([
    ['no audience', [], '', status.INVALID_ARGUMENT],
    ['an empty audience', ['db', ''], '', status.INVALID_ARGUMENT],
    ['too many audiences', Array.from({ length: 65 }, (_, i) => `a${i}`), '', status.INVALID_ARGUMENT],
    ['a huge audience', ['a'.repeat(1025)], '', status.INVALID_ARGUMENT],
    ['a malformed SPIFFE ID', ['db'], 'spiffe://TD/web', status.INVALID_ARGUMENT],
    ['an identity of somebody else', ['db'], 'spiffe://td/other', status.PERMISSION_DENIED],
    ['an identity of nobody', ['db'], 'spiffe://td/nobody', status.PERMISSION_DENIED],
  ])('%s, without asking the server', async (_what, audience, spiffeId, code) => {
    expect(await world.fetch(audience, spiffeId).ended).toEqual(refusedWith(code))
    expect(world.wanted).toEqual([])
  })

  test('a call without the security header before anything else', async () => {
    const { ended } = world.fetch([], '', { metadata: {} })
    expect(await ended).toEqual(refusedWith(status.INVALID_ARGUMENT))
    expect(world.connection.calls).toBe(0)
  })

  describe('while the platform is away that may say more of the caller', () => {
    const ofContainer = (id: string, path: string) => ({
      ...entry(id, path),
      selectors: new Map([['docker:image-name', 'api:1']]),
    })
    const attested = (selectors: Readonly<Record<string, string>>, missing: readonly string[], waitMs = 0) => {
      world.workload.set(selectors, missing, waitMs)
    }
    beforeEach(() => {
      world.setEntries(entry('e1', '/web'), ofContainer('e2', '/api'))
      attested({ 'unix:uid': '1000' }, ['docker'])
    })

    test('the identity that it may give, as unavailable, after a hold', async () => {
      const { ended } = world.fetch(['db'], 'spiffe://td/api')
      await world.clock.advance(HOLD_MS)
      expect(await ended).toEqual(refusedWith(status.UNAVAILABLE))
      expect(world.wanted).toEqual([])
    })

    test('nothing once it is back within the hold', async () => {
      const call = world.fetch(['db'], 'spiffe://td/api')
      await world.clock.advance(HOLD_MS / 2)
      attested({ 'unix:uid': '1000', 'docker:image-name': 'api:1' }, [])
      world.setEntries(entry('e1', '/web'), ofContainer('e2', '/api'))
      expect(await identities(call)).toEqual(['spiffe://td/api'])
    })

    test('nothing once it shows a caller that it knew, however late, and leaves the server its time', async () => {
      attested({ 'unix:uid': '1000' }, ['docker'], 30_000)
      const call = world.fetch(['db'], 'spiffe://td/api')
      await world.clock.advance(20_000)
      attested({ 'unix:uid': '1000', 'docker:image-name': 'api:1' }, [])
      world.setEntries(entry('e1', '/web'), ofContainer('e2', '/api'))
      expect(await identities(call)).toEqual(['spiffe://td/api'])
      expect(world.wanted.map(({ deadlineMs }) => deadlineMs)).toEqual([10_000 - HOLD_MS])
    })

    test('nothing of what the caller has without it', async () => {
      expect(await identities(world.fetch(['db'], 'spiffe://td/web'))).toEqual(['spiffe://td/web'])
      expect(await identities(world.fetch())).toEqual(['spiffe://td/web'])
    })
  })

  test('a caller without an identity, with a denial that the log resolves', async () => {
    world.setEntries(entry('e3', '/other', '2000'))
    const answer = await world.fetch().ended
    expect(answer).toEqual(refusedWith(status.PERMISSION_DENIED))
    const id = /denial (\w+)/.exec('error' in answer ? answer.error.details : '')?.[1]
    expect(world.sinks.lines.find(({ fields }) => fields['denial_id'] === id)?.event).toBe('Workload API call denied')
  })

  test.each([
    'icp.unreachable',
    'icp.rate_limited',
    'icp.jwt_unauthorized',
    'svid.pending',
    'icp.bad_response',
  ] as const)('with Unavailable what may pass (%s), even where other tokens are there', async (code) => {
    const { token } = world.script
    world.script.token = (subject, signal) => (subject.entryId === 'e1' ? failing(code)() : token(subject, signal))
    expect(await world.fetch().ended).toEqual(refusedWith(status.UNAVAILABLE))
  })

  test('with Unavailable when the server refuses every identity for good', async () => {
    world.script.token = failing('icp.forbidden')
    expect(await world.fetch().ended).toEqual(refusedWith(status.UNAVAILABLE))
  })

  test('a call that comes while the agent stops', async () => {
    world.calls.stop()
    expect(await world.fetch().ended).toEqual(refusedWith(status.UNAVAILABLE))
    expect(await world.validate().ended).toEqual(refusedWith(status.UNAVAILABLE))
  })

  test('a call that comes before the first sync, after it was held', async () => {
    world.store.publish({ synced: false }, { entries: 'all', bundles: false })
    const { ended } = world.fetch()
    await world.clock.advance(HOLD_MS)
    expect(await ended).toEqual(refusedWith(status.UNAVAILABLE))
    expect(world.connection.calls).toBe(0)
  })
})

test('a call that comes before the first sync is answered after it', async () => {
  world.store.publish({ synced: false }, { entries: 'all', bundles: false })
  const call = world.fetch()
  await world.clock.advance(HOLD_MS / 2)
  world.store.publish({ synced: true }, { entries: 'all', bundles: false })
  expect(await identities(call)).toHaveLength(2)
  expect(world.clock.pending).toBe(0)
})

describe('while the server works', () => {
  /** The answer to a call during which something happens. */
  async function meanwhile(happens: () => void, spiffeId = '') {
    const { token } = world.script
    world.script.token = async (subject, signal) => {
      const held = await token(subject, signal)
      if (subject === world.wanted.at(-1)?.subject) happens()
      return held
    }
    return await world.fetch(['db'], spiffeId).ended
  }

  test('an identity that is taken away is not handed out', async () => {
    const answer = await meanwhile(() => world.setEntries(entry('e2', '/api')))
    expect('message' in answer && fromBinary(JWTSVIDResponseSchema, answer.message).svids).toMatchObject([
      { spiffeId: 'spiffe://td/api' },
    ])
  })
  test('an entry that comes to name somebody else is not handed out', async () => {
    const answer = await meanwhile(
      () => world.setEntries(entry('e1', '/admin'), entry('e2', '/api')),
      'spiffe://td/web',
    )
    expect(answer).toEqual(refusedWith(status.PERMISSION_DENIED))
  })
  test('the last identity is taken away', async () => {
    expect(await meanwhile(() => world.setEntries())).toEqual(refusedWith(status.PERMISSION_DENIED))
  })
  test('the process comes to run another program', async () => {
    const happens = () => {
      world.workload.wrong = new AgentError('caller.executable_changed', 'it runs another program')
    }
    expect(await meanwhile(happens)).toEqual(refusedWith(status.PERMISSION_DENIED))
  })
  test('the client goes: whoever waits for it hears so', async () => {
    let heard = false
    world.script.token = (_subject, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          heard = true
          reject(new AgentError('svid.pending', 'gone'))
        })
      })
    const call = world.fetch()
    await world.clock.advance(0)
    call.cancel()
    await call.ended
    await world.clock.advance(0)
    expect(heard).toBe(true)
    expect(world.connection.calls).toBe(0)
    expect(world.sinks.total('icp_agent_calls_total', { method: 'FetchJWTSVID', status: 'CANCELLED' })).toBe(1)
  })
})

describe('ValidateJWTSVID', () => {
  test('answers identity and claims', async () => {
    const answer = await world.validate().ended
    expect('message' in answer && fromBinary(ValidateJWTSVIDResponseSchema, answer.message)).toMatchObject({
      spiffeId: 'spiffe://td/web',
      claims: { sub: 'spiffe://td/web' },
    })
  })
  test.each([
    ['an invalid token', 'jwt.invalid', status.INVALID_ARGUMENT],
    ['a token that nobody can judge now', 'icp.unreachable', status.UNAVAILABLE],
  ] as const)('refuses %s', async (_what, code, expected) => {
    world.script.validate = failing(code)
    expect(await world.validate().ended).toEqual(refusedWith(expected))
  })
  test.each([
    ['no token', '', 'db'],
    ['no audience', 'token', ''],
  ])('refuses %s', async (_what, svid, audience) => {
    expect(await world.validate(svid, audience).ended).toEqual(refusedWith(status.INVALID_ARGUMENT))
  })
  test('refuses a caller without an identity', async () => {
    world.setEntries()
    expect(await world.validate().ended).toEqual(refusedWith(status.PERMISSION_DENIED))
  })
  test('answers a caller without an identity where the setting allows it, but not one that is no longer itself', async () => {
    world = callWorld({ openToAll: true })
    world.setEntries()
    expect(await world.validate().ended).toHaveProperty('message')
    expect(await world.fetch().ended).toEqual(refusedWith(status.PERMISSION_DENIED))
    world.workload.wrong = new AgentError('caller.executable_changed', 'it runs another program')
    expect(await world.validate().ended).toEqual(refusedWith(status.PERMISSION_DENIED))
  })
  test('calls a defect of ours internal, and does not quote it', async () => {
    world.script.validate = () => Promise.reject(new TypeError('the token is abc.def.ghi'))
    const answer = await world.validate('abc.def.ghi').ended
    expect(answer).toEqual(refusedWith(status.INTERNAL))
    expect(JSON.stringify(answer)).not.toContain('abc.def')
  })
})

test('no token is logged, whatever becomes of the call', async () => {
  await world.fetch().ended
  world.script.validate = failing('jwt.invalid')
  await world.validate('abc.def.ghi').ended
  const said = JSON.stringify([world.sinks.lines, world.sinks.figures])
  expect(said).not.toContain('token of')
  expect(said).not.toContain('abc.def.ghi')
})
