import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../../agent/errors.js'
import { settle } from '../../../fakes/clock.js'
import { ID, machine, OTHER } from './setting.js'

describe('what is known', () => {
  it('costs no request: one container is asked about once, whoever calls', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID)
    const first = await selectors(inContainer(ID))
    for (let i = 0; i < 5; i++) expect(await selectors(inContainer(ID))).toEqual(first)
    expect(engine.inspections).toBe(1)
  })

  it('is at hand without waiting', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID)
    await attest(inContainer(ID))
    let done = false
    void attest(inContainer(ID)).then(() => {
      done = true
    })
    for (let i = 0; i < 5; i++) await Promise.resolve()
    expect(done).toBe(true)
  })

  it('is asked for once by fifty who come together', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID)
    const all = await Promise.all(Array.from({ length: 50 }, () => attest(inContainer(ID))))
    expect(all.every(({ selectors }) => selectors.get('docker:container-id') === ID)).toBe(true)
    expect(engine.inspections).toBe(1)
  })

  it('is found for fifty containers at once, eight questions at a time', async () => {
    const { engine, attest, inContainer } = machine()
    const ids = Array.from({ length: 50 }, (_, i) => (i + 1).toString(16).padStart(64, '0'))
    for (const id of ids) engine.start(id)
    engine.mood = 'silent'
    const attesting = Promise.all(ids.map((id) => attest(inContainer(id))))
    await settle()
    expect(engine.inspections).toBe(8)
    engine.comeBack()
    expect((await attesting).map(({ selectors }) => selectors.get('docker:container-id'))).toEqual(ids)
  })

  it('ends with the container, and with nothing else', async () => {
    const { engine, run, selectors, inContainer } = machine()
    engine.start(ID, { name: 'one' })
    await using _running = await run()
    const who = inContainer(ID)
    await selectors(who)
    engine.start(OTHER)
    engine.end(OTHER)
    await settle()
    await selectors(who)
    expect(engine.inspections).toBe(1)
    engine.end(ID)
    await settle()
    expect(await selectors(who)).toEqual({})
  })

  it('of a container that calls as soon as it starts is asked for once', async () => {
    const { engine, run, selectors, inContainer } = machine()
    await using _running = await run()
    engine.start(ID)
    expect(await selectors(inContainer(ID))).toMatchObject({ 'docker:container-id': ID })
    await settle()
    await selectors(inContainer(ID))
    expect(engine.inspections).toBe(1)
  })

  it('is forgotten when the container is started again', async () => {
    const { engine, run, selectors, inContainer } = machine()
    engine.start(ID, { labels: { app: 'one' } })
    await using _running = await run()
    await selectors(inContainer(ID))
    engine.end(ID)
    engine.start(ID, { labels: { app: 'two' } })
    await settle()
    expect(await selectors(inContainer(ID))).toMatchObject({ 'docker:label:app': 'two' })
  })

  it('does not count where what was found may be out of date already', async () => {
    const { engine, run, selectors, inContainer } = machine()
    engine.start(ID, { name: 'old' })
    await using _running = await run()
    const who = inContainer(ID)
    await settle()
    // The name changes after the engine has answered and before anybody has read the answer.
    engine.meanwhile = () => {
      engine.meanwhile = () => undefined
      engine.rename(ID, 'new')
    }
    await selectors(who)
    await settle()
    expect(await selectors(who)).toMatchObject({ 'docker:container-name': 'new' })
  })
})

describe('what changes', () => {
  it('a renamed container is looked at again, and its processes are told', async () => {
    const { engine, run, selectors, watch, inContainer } = machine()
    engine.start(ID, { name: 'old' })
    await using _running = await run()
    engine.start(OTHER)
    await settle()
    const [mine, theirs] = [inContainer(ID), inContainer(OTHER)]
    using watching = watch(mine)
    using other = watch(theirs)
    await selectors(mine)
    await selectors(theirs)
    engine.rename(ID, 'new')
    await settle()
    expect(watching.told.times).toBe(1)
    expect(other.told.times).toBe(0)
    expect(await selectors(mine)).toMatchObject({ 'docker:container-name': 'new' })
  })

  it('nobody is told who does not want to know any more', async () => {
    const { engine, run, selectors, watch, inContainer } = machine()
    engine.start(ID)
    await using _running = await run()
    const who = inContainer(ID)
    const watching = watch(who)
    await selectors(who)
    watching[Symbol.dispose]()
    engine.rename(ID, 'new')
    await settle()
    expect(watching.told.times).toBe(0)
  })

  it('events in pieces, of other kinds and of other shapes do no harm', async () => {
    const { engine, run, selectors, watch, inContainer } = machine()
    engine.start(ID, { name: 'old' })
    await using _running = await run()
    const who = inContainer(ID)
    using watching = watch(who)
    await selectors(who)
    const rename = JSON.stringify({ Action: 'rename', Actor: { ID } })
    engine.write('{"Action":"exec_die: sh","Actor":{"ID":"x"}}\nnull\n{\n[]\n\n')
    engine.write(rename.slice(0, 20))
    await settle()
    expect(watching.told.times).toBe(0)
    engine.write(`${rename.slice(20)}\n`)
    await settle()
    expect(watching.told.times).toBe(1)
  })

  it('a line of events without end breaks the stream off', async () => {
    const { engine, run, sinks } = machine()
    await using _running = await run()
    engine.write('x'.repeat(1024 * 1024 + 1))
    await settle()
    expect(engine.listeners).toBe(0)
    expect(sinks.events('warn')).toEqual(['Container engine does not answer'])
  })
})

describe('an engine that is away', () => {
  it('takes nothing from whom it has once spoken for', async () => {
    const { engine, clock, run, attest, inContainer } = machine()
    engine.start(ID)
    await using _running = await run()
    await attest(inContainer(ID))
    engine.goAway()
    await clock.advance('1h')
    const { selectors, unavailable } = await attest(inContainer(ID))
    expect(selectors.get('docker:container-id')).toBe(ID)
    expect(unavailable).toEqual([])
  })

  it('is asked three times, then its selectors are unavailable', async () => {
    const { engine, clock, attest, inContainer } = machine({ authsecLabels: true })
    engine.start(ID)
    engine.goAway()
    const attesting = attest(inContainer(ID))
    await clock.advance(299)
    expect(engine.inspections).toBe(2)
    await clock.advance(1)
    const { selectors, unavailable, notes } = await attesting
    expect(engine.inspections).toBe(3)
    expect(selectors.size).toBe(0)
    expect(unavailable).toEqual(['docker', 'authsec'])
    expect(notes.at(-1)?.text).toContain(ID)
  })

  it('is waited for no longer than the deadline', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID)
    engine.mood = 'silent'
    const deadline = new AbortController()
    const attesting = attest(inContainer(ID), deadline.signal)
    await settle()
    deadline.abort()
    const { unavailable } = await attesting
    expect(unavailable).toEqual(['docker'])
  })

  it('a slow answer serves the next one who asks, and those who wait are told', async () => {
    const { engine, attest, selectors, watch, inContainer } = machine()
    engine.start(ID)
    engine.mood = 'silent'
    const deadline = new AbortController()
    const who = inContainer(ID)
    using watching = watch(who)
    const attesting = attest(who, deadline.signal)
    await settle()
    deadline.abort()
    await attesting
    engine.comeBack()
    await settle()
    expect(watching.told.times).toBe(1)
    expect(await selectors(who)).toMatchObject({ 'docker:container-id': ID })
    expect(engine.inspections).toBe(1)
  })

  it('questions that nobody waits for any more are not asked', async () => {
    const { engine, attest, inContainer } = machine()
    const ids = Array.from({ length: 20 }, (_, i) => (i + 1).toString(16).padStart(64, '0'))
    for (const id of ids) engine.start(id)
    engine.mood = 'silent'
    const deadlines = ids.map(() => new AbortController())
    const attesting = Promise.all(ids.map((id, i) => attest(inContainer(id), deadlines[i]?.signal)))
    await settle()
    for (const deadline of deadlines) deadline.abort()
    await attesting
    engine.comeBack()
    await settle()
    expect(engine.inspections).toBe(8)
  })

  it.each([
    ['fails', { status: 500 }],
    ['answers what is no JSON', { status: 200, body: '<html>' }],
    ['answers something else', { status: 200, body: '{"Id":"x"}' }],
    [
      'answers without labels that are texts',
      { status: 200, body: JSON.stringify({ Id: ID, Name: '/a', Config: {} }) },
    ],
  ])('or that %s: its selectors are unavailable', async (_what, mood) => {
    const { engine, clock, attest, inContainer } = machine()
    engine.mood = mood
    const attesting = attest(inContainer(ID))
    await clock.advance('1s')
    expect((await attesting).unavailable).toEqual(['docker'])
  })

  it('a container that has no process yet is waited for', async () => {
    const { engine, clock, selectors, inContainer } = machine()
    engine.start(ID)
    engine.says(ID, { status: 'created', pid: 0 })
    const asking = selectors(inContainer(ID))
    await clock.advance(50)
    engine.start(ID)
    await clock.advance(100)
    expect(await asking).toMatchObject({ 'docker:container-id': ID })
  })

  it('a first process that the kernel does not show is waited for, then the selectors are unavailable', async () => {
    const { engine, clock, attest, inContainer } = machine()
    engine.start(ID)
    engine.says(ID, { pid: 1 })
    const attesting = attest(inContainer(ID))
    await clock.advance('1s')
    expect((await attesting).unavailable).toEqual(['docker'])
  })

  it('a container that it does not know is no concern of its, for a while', async () => {
    const { engine, clock, run, attest, inContainer } = machine()
    await using _running = await run()
    for (let i = 0; i < 3; i++) expect((await attest(inContainer(ID))).unavailable).toEqual([])
    expect(engine.inspections).toBe(1)
    await clock.advance('31s')
    await attest(inContainer(ID))
    expect(engine.inspections).toBe(2)
    engine.start(ID)
    await settle()
    expect((await attest(inContainer(ID))).selectors.get('docker:container-id')).toBe(ID)
  })

  it('a defect of ours is not taken for silence', async () => {
    const { engine, attest, inContainer } = machine()
    engine.start(ID)
    engine.meanwhile = () => {
      throw new TypeError('a defect')
    }
    await expect(attest(inContainer(ID))).rejects.toThrow(TypeError)
  })
})

describe('a machine without an engine', () => {
  it.each([
    ['a container of Docker', `0::/system.slice/docker-${ID}.scope\n`, ['docker']],
    ['a container of podman', `0::/libpod_parent/libpod-${ID}\n`, ['docker']],
    ['a container of nobody knows whom', `0::/docker/${ID}\n`, ['docker']],
    ['a container of a pod', `0::/kubepods/burstable/pod2c48913c-b29f-11e7-9350-020968147796/${ID}\n`, []],
  ])('%s', async (_what, cgroup, unavailable) => {
    const { engine, clock, attest, inGroup } = machine()
    engine.goAway()
    const attesting = attest(inGroup(cgroup))
    await clock.advance('1s')
    expect((await attesting).unavailable).toEqual(unavailable)
  })

  it('warns nobody', async () => {
    const { engine, clock, run, sinks } = machine()
    engine.goAway()
    await using _running = await run()
    await clock.advance('10m')
    expect(sinks.events('warn')).toEqual([])
    expect(sinks.events('info')).toEqual([])
  })

  it('a container of a pod is missed once there was an engine', async () => {
    const { engine, clock, run, attest, inGroup } = machine()
    await using _running = await run()
    engine.goAway()
    const attesting = attest(inGroup(`0::/kubepods/pod2c48913c-b29f-11e7-9350-020968147796/${ID}\n`))
    await clock.advance('1s')
    expect((await attesting).unavailable).toEqual(['docker'])
  })

  it('an engine that appears is found within seconds, and whoever waited is told', async () => {
    const { engine, clock, run, attest, watch, inContainer, sinks } = machine()
    engine.goAway()
    await using _running = await run()
    const who = inContainer(ID)
    using watching = watch(who)
    const attesting = attest(who)
    await clock.advance('10m')
    await attesting
    engine.comeBack()
    engine.start(ID)
    await clock.advance('7s')
    expect(watching.told.times).toBe(1)
    expect(sinks.events('info')).toEqual(['Container engine found'])
  })
})

describe('an engine that was away', () => {
  it('is asked again about what it may have told meanwhile', async () => {
    const { engine, clock, run, selectors, watch, inContainer } = machine()
    engine.start(ID, { name: 'old' })
    await using _running = await run()
    const who = inContainer(ID)
    using watching = watch(who)
    await selectors(who)
    engine.goAway()
    engine.rename(ID, 'new')
    await clock.advance('1m')
    expect(await selectors(who)).toMatchObject({ 'docker:container-name': 'old' })
    engine.comeBack()
    await clock.advance('7s')
    expect(watching.told.times).toBe(1)
    expect(await selectors(who)).toMatchObject({ 'docker:container-name': 'new' })
    expect(engine.inspections).toBe(2)
  })

  it('withdraws what ended meanwhile, and only when it says so', async () => {
    const { engine, clock, run, selectors, inContainer, watch } = machine()
    engine.start(ID)
    await using _running = await run()
    const who = inContainer(ID)
    using watching = watch(who)
    await selectors(who)
    engine.goAway()
    engine.end(ID)
    await clock.advance('1m')
    expect(await selectors(who)).toMatchObject({ 'docker:container-id': ID })
    engine.comeBack()
    await clock.advance('7s')
    expect(await selectors(who)).toMatchObject({ 'docker:container-id': ID })
    const told = watching.told.times
    await clock.advance('10s')
    expect(watching.told.times).toBe(told + 1)
    expect(await selectors(who)).toEqual({})
  })

  it.each(['docker', 'podman'])('and does not know its containers for a moment withdraws nothing: %s', async (kind) => {
    const { engine, clock, run, selectors, inContainer, inGroup } = machine()
    const cgroup = `0::/machine.slice/libpod-${ID}.scope\n`
    engine.start(ID, kind === 'podman' ? { cgroup } : {})
    const who = kind === 'podman' ? inGroup(cgroup) : inContainer(ID)
    await using _running = await run()
    await selectors(who)
    engine.goAway()
    await clock.advance('1m')
    engine.forgets = true
    engine.comeBack()
    await clock.advance('6s')
    expect(await selectors(who)).toMatchObject({ 'docker:container-id': ID })
    engine.forgets = false
    await clock.advance('1m')
    expect(await selectors(who)).toMatchObject({ 'docker:container-id': ID })
  })

  it('leaves no timer behind when the agent stops before the second look', async () => {
    const { engine, clock, docker, run, selectors, inContainer } = machine()
    engine.start(ID)
    {
      await using _running = await run()
      await selectors(inContainer(ID))
      engine.goAway()
      engine.forgets = true
      engine.comeBack()
      await clock.advance('6s')
      await selectors(inContainer(ID))
    }
    docker[Symbol.dispose]()
    expect(clock.pending).toBe(0)
  })

  it('and falls silent at once: what was known holds', async () => {
    const { engine, clock, run, attest, inContainer } = machine()
    engine.start(ID)
    await using _running = await run()
    const who = inContainer(ID)
    await attest(who)
    engine.goAway()
    await clock.advance('1m')
    engine.comeBack()
    await clock.advance('7s')
    engine.goAway()
    const attesting = attest(who)
    await clock.advance('1s')
    const { selectors, unavailable } = await attesting
    expect(selectors.get('docker:container-id')).toBe(ID)
    expect(unavailable).toEqual([])
  })

  it('is asked again about a container that it did not know', async () => {
    const { engine, clock, run, attest, inContainer } = machine()
    await using _running = await run()
    await attest(inContainer(ID))
    engine.goAway()
    engine.start(ID)
    await clock.advance(50)
    engine.comeBack()
    await clock.advance('1s')
    expect((await attest(inContainer(ID))).selectors.get('docker:container-id')).toBe(ID)
  })

  it('is asked again about a container that is no longer where it was', async () => {
    const { engine, clock, run, attest, inContainer, inGroup } = machine()
    engine.start(ID)
    await using _running = await run()
    await attest(inContainer(ID))
    engine.goAway()
    engine.start(ID, { cgroup: `0::/batch/${ID}\n` })
    await settle()
    // It answers before it is heard again.
    engine.mood = 'well'
    const attesting = attest(inGroup(`0::/batch/${ID}\n`))
    await settle()
    expect((await attesting).selectors.get('docker:container-id')).toBe(ID)
    await clock.advance('7s')
  })

  it('is said once, and once more when it is over', async () => {
    const { engine, clock, run, sinks } = machine()
    await using _running = await run()
    engine.goAway()
    await clock.advance('10m')
    engine.comeBack()
    await clock.advance('7s')
    expect(sinks.events('warn')).toEqual(['Container engine does not answer'])
    expect(sinks.events('info')).toEqual(['Container engine found', 'Container engine answers again'])
  })

  it('that ends its streams in good order is connected to again, at a slower pace each time', async () => {
    const { engine, clock, run } = machine()
    await using _running = await run()
    for (let i = 0; i < 20; i++) {
      engine.endStreams()
      await clock.advance(100)
    }
    const connects = engine.requests.length
    expect(connects).toBeGreaterThan(2)
    expect(connects).toBeLessThan(8)
  })
})

describe('the end', () => {
  it('leaves neither timer nor listener nor stream behind', async () => {
    const { engine, clock, run, attest, docker, inContainer } = machine()
    const running = await run()
    engine.start(ID)
    await attest(inContainer(ID))
    expect(engine.listeners).toBe(1)
    await running[Symbol.asyncDispose]()
    docker[Symbol.dispose]()
    await settle()
    expect(engine.listeners).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('cuts off who still looks', async () => {
    const { engine, clock, attest, docker, inContainer } = machine()
    engine.start(ID)
    engine.mood = 'silent'
    const attesting = attest(inContainer(ID))
    await settle()
    docker[Symbol.dispose]()
    expect((await attesting).unavailable).toEqual(['docker'])
    expect(clock.pending).toBe(0)
  })

  it('of the watch by a defect is an end with an error', async () => {
    const { engine, docker } = machine()
    engine.stream = () => Promise.reject(new TypeError('a defect'))
    await expect(docker.run(new AbortController().signal)).rejects.toThrow(TypeError)
  })

  it('before the beginning is no error', async () => {
    const { docker } = machine()
    const stop = new AbortController()
    stop.abort(new AgentError('agent.stopping', 'stop'))
    await expect(docker.run(stop.signal)).resolves.toBeUndefined()
  })
})
