import { describe, expect, it } from 'vitest'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { AgentError } from '../../../agent/errors.js'
import type { ControlPlane } from '../../../agent/icp/control-plane.js'
import { IDENTITY_FILE, MINUTE, never, open, World } from './world.js'

/** What `kill -9` looks like from inside: nothing catches it, nothing runs after it. */
class Killed extends Error {}

/**
 * Counts every moment before and after an operation on the disk or the network, and kills the process at the n-th.
 * `lost` is true when the process was killed after the server had consumed a token and before its answer was on disk.
 */
class Killer {
  moments = 0
  readonly seen: string[] = []
  constructor(private readonly at: number) {}

  moment(name: string): void {
    this.seen.push(name)
    if (++this.moments === this.at) throw new Killed(name)
  }

  control(server: ControlPlane): ControlPlane {
    const around = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      this.moment(`before ${name}`)
      const result = await work()
      this.moment(`after ${name}`)
      return result
    }
    return Object.assign(Object.create(server) as ControlPlane, {
      attestNode: (...args: Parameters<ControlPlane['attestNode']>) =>
        around('attestNode', () => server.attestNode(...args)),
      renewAgent: (...args: Parameters<ControlPlane['renewAgent']>) =>
        around('renewAgent', () => server.renewAgent(...args)),
      bundle: (...args: Parameters<ControlPlane['bundle']>) => around('bundle', () => server.bundle(...args)),
    })
  }
}

/** Runs a scenario in a world once for each moment at which it can be killed; returns what was killed where. */
async function killedEverywhere(
  prepare: () => Promise<World>,
  scenario: (keeper: AgentSvidKeeper) => Promise<void>,
  after: (world: World, killedAt: string) => Promise<void>,
): Promise<string[]> {
  const moments: string[] = []
  for (let n = 1; ; n++) {
    const world = await prepare()
    const killer = new Killer(n)
    world.files.hook = ({ call, path, when }) => killer.moment(`${when} ${call} ${path.split('/').pop()}`)
    const keeper = world.keeper({ control: killer.control(world.server) })
    try {
      await scenario(keeper)
    } catch (error) {
      if (!(error instanceof Killed)) throw error
    }
    if (killer.moments < n) return moments
    const killedAt = killer.seen.at(-1) ?? ''
    moments.push(killedAt)
    world.files.hook = () => undefined
    await after(world, killedAt)
  }
}

const attestation = async (keeper: AgentSvidKeeper) => {
  await keeper.restore()
  await keeper.attempt(never())
}
/** The one window that cannot be closed: the server has consumed the token, and its answer is not on disk yet. */
const WINDOW = ['after attestNode', `before write ${IDENTITY_FILE.split('/').pop()}`]

describe('a process killed during its first attestation with a join token', () => {
  for (const withoutBundle of [false, true]) {
    it(`needs no second token, or says that the first is gone (${withoutBundle ? 'no' : 'a'} bundle in the answer)`, async () => {
      const outcomes = new Map<string, string>()
      let writes = 0
      const moments = await killedEverywhere(
        async () => {
          const world = await World.create({ generation: 'workspace' })
          world.server.withoutBundle = withoutBundle
          world.giveToken()
          return world
        },
        attestation,
        async (world, killedAt) => {
          const consumed = world.server.count('attestNode') > 0
          const answerOnDisk = /"(answer|identity)": \{/.test(world.files.content.get(IDENTITY_FILE)?.toString() ?? '')
          const keeper = world.keeper()
          await keeper.restore()
          const warned = world.sinks.events('warn')
          if (!keeper.current()) await keeper.attempt(never())
          const { kind, reason } = keeper.state()
          outcomes.set(`${++writes} ${killedAt}`, kind)
          if (consumed && !answerOnDisk) {
            expect(WINDOW, killedAt).toContain(killedAt)
            expect([kind, reason?.code], killedAt).toEqual(['locked_out', 'agent.token_consumed'])
            expect(warned).toEqual(['An earlier node attestation did not finish; its join token may be used up'])
          } else {
            expect(kind, killedAt).toBe('valid')
            expect(world.server.count('attestNode'), killedAt).toBe(1)
          }
        },
      )
      // Both moments of the window were met, and every other one led to a valid identity.
      expect([...outcomes.values()].filter((kind) => kind === 'locked_out')).toHaveLength(2)
      expect(moments).toEqual(
        withoutBundle ? [...BEFORE, ...WRITE, 'before bundle', 'after bundle', ...WRITE] : [...BEFORE, ...WRITE],
      )
    })
  }
})

const WRITE = ['before write agent-identity.json', 'after write agent-identity.json']
const BEFORE = [
  'before read agent-identity.json',
  'after read agent-identity.json',
  'before read join-token',
  'after read join-token',
  ...WRITE,
  'before attestNode',
  'after attestNode',
]

describe('a process killed during a renewal', () => {
  it('has the old identity or the new one, whole, and renews without a token', async () => {
    let serialBefore: string | undefined
    const moments = await killedEverywhere(
      async () => {
        const world = await World.create({ generation: 'workspace' })
        world.giveToken()
        serialBefore = (await world.attested()).current()?.serial
        await world.clock.advance('25m')
        return world
      },
      attestation,
      async (world, killedAt) => {
        const keeper = world.keeper()
        await keeper.restore()
        const restored = keeper.current()?.serial
        if (killedAt === 'after write agent-identity.json' && world.server.count('renewAgent') > 0) {
          expect(restored).not.toBe(serialBefore)
        } else expect(restored, killedAt).toBe(serialBefore)
        await keeper.attempt(never())
        expect([keeper.state().kind, world.server.count('attestNode')], killedAt).toEqual(['valid', 1])
        expect(world.sinks.events('warn')).toEqual([])
      },
    )
    expect(moments).toHaveLength(2 + 2 + 2 + 2)
  })
})

describe('a disk that is full', () => {
  it('at the first write stops the request, so that no token is spent', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.files.hook = ({ call }) => {
      if (call === 'write') throw new AgentError('file.io', 'no space left')
    }
    const keeper = world.keeper()
    await attestation(keeper)
    expect([keeper.state().reason?.code, world.server.calls]).toEqual(['file.io', []])
    world.files.hook = () => undefined
    await keeper.attempt(never())
    expect(keeper.state().kind).toBe('valid')
  })

  it('when the answer is there keeps it in memory until it can be written', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    let writes = 0
    world.files.hook = ({ call, when }) => {
      if (call === 'write' && when === 'before' && ++writes > 1) throw new AgentError('file.io', 'no space left')
    }
    const keeper = world.keeper()
    await attestation(keeper)
    expect([keeper.current(), keeper.state().reason?.code]).toEqual([null, 'file.io'])
    world.files.hook = () => undefined
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })

  const full = (world: World) => {
    world.files.hook = ({ call, when }) => {
      if (call === 'write' && when === 'before') throw new AgentError('file.io', 'no space left')
    }
  }

  it.each(['workspace', 'tenant'] as const)(
    'does not end the identity, which goes on in memory and is written as soon as that works (%s API)',
    async (generation) => {
      const world = await World.create({ generation })
      if (generation === 'workspace') world.giveToken()
      const keeper = world.keeper()
      await keeper.restore()
      const stop = new AbortController()
      const running = keeper.run(stop.signal, open)
      await world.pass(20 * MINUTE, 10_000)
      const onDisk = world.files.content.get(IDENTITY_FILE)?.toString()
      full(world)
      await world.pass(60 * MINUTE, 10_000)
      expect(keeper.current()).not.toBeNull()
      expect(keeper.state()).toMatchObject({ kind: 'valid', reason: { code: 'file.io' } })
      expect(world.files.content.get(IDENTITY_FILE)?.toString()).toBe(onDisk)
      expect(world.sinks.events('warn')).toEqual(['Agent identity cannot be written and is in memory only'])
      world.files.hook = () => undefined
      await world.pass(MINUTE + 1000)
      expect(keeper.state().reason).toBeUndefined()
      expect(world.sinks.events('info')).toContain('Agent identity is on disk again')
      const restarted = world.keeper()
      await restarted.restore()
      expect(restarted.current()?.serial).toBe(keeper.current()?.serial)
      expect(
        restarted
          .current()
          ?.key.reveal()
          .equals(keeper.current()?.key.reveal() as never),
      ).toBe(true)
      stop.abort()
      await running
      expect(world.clock.pending).toBe(0)
    },
  )

  it('and a kill meanwhile leaves the older identity', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = keeper.current()?.serial
    full(world)
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect(keeper.current()?.serial).not.toBe(before)
    world.files.hook = () => undefined
    const restarted = world.keeper()
    await restarted.restore()
    expect(restarted.current()?.serial).toBe(before)
    await restarted.attempt(never())
    expect([restarted.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })

  it('and a wrong answer meanwhile is told for what it is', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = keeper.current()?.serial
    full(world)
    world.server.tamper.issued = (answer) => ({ ...answer, chain: [world.server.ca.der] })
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect([keeper.current()?.serial, keeper.state().reason?.code]).toEqual([before, 'svid.invalid'])
  })

  it('and an answer that is given up meanwhile is given up in memory', async () => {
    const world = await World.create()
    world.server.withoutBundle = true
    const { bundle } = world.server
    world.server.bundle = async () => {
      full(world)
      throw new AgentError('icp.unreachable', 'away')
    }
    const keeper = world.keeper()
    await attestation(keeper)
    expect(keeper.state().reason?.code).toBe('svid.issuer_unknown')
    world.server.bundle = bundle
    world.server.withoutBundle = false
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
  })
})
