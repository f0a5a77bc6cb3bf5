import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../../agent/errors.js'
import { settle } from '../../../fakes/clock.js'
import { ID, machine, OTHER, TENANT } from './setting.js'

const MOUNTED = `1 0 8:1 / / rw - ext4 a rw\n90 72 8:1 /d/containers/${ID}/hostname /etc/hostname rw - ext4 a rw\n`

describe('the selectors of a container', () => {
  it('come in every spelling', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID, {
      name: 'shop-web-1',
      image: 'registry.example/web:1.2',
      imageId: 'c7'.repeat(32),
      labels: { 'com.docker.compose.service': 'web', app: 'shop' },
    })
    expect(await selectors(inContainer(ID))).toEqual({
      'docker:container-id': ID,
      'docker:container_id': ID,
      'docker:container-name': 'shop-web-1',
      'docker:container_name': 'shop-web-1',
      'docker:image-name': 'registry.example/web:1.2',
      'docker:image_name': 'registry.example/web:1.2',
      'docker:image': 'registry.example/web:1.2',
      'docker:image-id': 'c7c7c7c7c7c7',
      'docker:image_id': 'c7c7c7c7c7c7',
      'docker:image-digest': `sha256:${'c7'.repeat(32)}`,
      'docker:label:com.docker.compose.service': 'web',
      'docker:label:app': 'shop',
    })
  })

  it('name an AI agent only where that is allowed, and then the account too', async () => {
    const labels = { 'authsec.ai/client-id': 'client-7', 'authsec.ai/agent-type': 'researcher' }
    const off = machine()
    off.engine.start(ID, { labels })
    expect(off.attestor.platforms).toEqual(['docker'])
    expect(Object.keys(await off.selectors(off.inContainer(ID))).filter((key) => key.startsWith('authsec:'))).toEqual(
      [],
    )

    const on = machine({ authsecLabels: true })
    on.engine.start(ID, { labels })
    expect(on.attestor.platforms).toEqual(['docker', 'authsec'])
    expect(await on.selectors(on.inContainer(ID))).toMatchObject({
      'authsec:client_id': 'client-7',
      'authsec:agent_type': 'researcher',
      'authsec:tenant_id': TENANT,
      'authsec:workspace_id': TENANT,
    })
  })

  it('name no account where no AI agent is named', async () => {
    const { engine, selectors, inContainer } = machine({ authsecLabels: true })
    engine.start(ID, { labels: { 'authsec.ai/client-id': '', app: 'web' } })
    expect(Object.keys(await selectors(inContainer(ID))).filter((key) => key.startsWith('authsec:'))).toEqual([])
  })
})

describe('a process in no container', () => {
  it.each([
    ['a service', '0::/system.slice/nginx.service\n'],
    ['hierarchies that contradict one another', `4:memory:/docker/${ID}\n3:pids:/docker/${OTHER}\n`],
    ['a container of containerd', `0::/system.slice/nerdctl-${ID}.scope\n`],
    [
      'a container of a pod',
      `0::/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-${ID}.scope\n`,
    ],
  ])('has no selectors, and none are unavailable: %s', async (_what, cgroup) => {
    const { engine, attest, inGroup, run } = machine()
    await using _running = await run()
    engine.goAway()
    const { selectors, unavailable, notes } = await attest(inGroup(cgroup))
    expect(selectors.size).toBe(0)
    expect(unavailable).toEqual([])
    expect(notes).toHaveLength(1)
    expect(engine.inspections).toBe(0)
  })

  it.each([
    ['a service', '0::/system.slice/nginx.service\n', 0],
    ['a pod', `0::/kubepods/burstable/pod${TENANT}/${ID}\n`, 0],
    ['a pod, by its name', `0::/kubepods.slice/kubepods-pod2c48913c.slice/cri-containerd-${ID}.scope\n`, 0],
    ['hierarchies that contradict one another', `4:memory:/docker/${ID}\n3:pids:/docker/${OTHER}\n`, 1],
    ["an engine's own group", `0::/system.slice/docker-${ID}.scope\n`, 1],
  ])('is told of only where it matters, where there never was an engine: %s', async (_what, cgroup, lines) => {
    const { engine, clock, attest, inGroup } = machine()
    engine.goAway()
    const stop = new AbortController()
    const attesting = attest(inGroup(cgroup), stop.signal)
    await clock.advance('5s')
    stop.abort()
    const { selectors, notes } = await attesting
    expect(selectors.size).toBe(0)
    expect(notes).toHaveLength(lines)
  })

  it('is not looked at further when it is gone', async () => {
    const { attest, kernel, caller } = machine()
    const process = kernel.spawn()
    const who = { ...caller(), process: kernel.peer(process).process }
    process.exit()
    await expect(attest(who)).rejects.toMatchObject({ code: 'caller.exited' })
  })
})

describe('whom the engine speaks for', () => {
  it('a container whose mounts cannot be read, by its control group', async () => {
    const { engine, selectors, inContainer } = machine()
    engine.start(ID)
    engine.files.hook = ({ path }) => {
      if (path.endsWith('/mountinfo')) throw new AgentError('file.too_large', 'too many mounts')
    }
    expect(await selectors(inContainer(ID))).toMatchObject({ 'docker:container-id': ID })
  })

  it.each([
    ['its own group', `0::/docker/${ID}\n`],
    ['a group below its own', `0::/docker/${ID}/a/b\n`],
    ['a group that is named like another container, below its own', `0::/docker/${ID}/docker/${OTHER}\n`],
    ['a pod of its own making, below its own group', `0::/docker/${ID}/kubepods/pod${TENANT}/${OTHER}\n`],
  ])('a process of the container: %s', async (_what, cgroup) => {
    const { engine, selectors, inGroup } = machine()
    engine.start(ID, { name: 'mine' })
    engine.start(OTHER, { name: 'theirs' })
    expect(await selectors(inGroup(cgroup))).toMatchObject({ 'docker:container-name': 'mine' })
  })

  it.each([
    ["a user's group of that name", `0::/user.slice/user-1000.slice/user@1000.service/docker-${ID}.scope\n`],
    [
      "a user's group that ends like the container's",
      `0::/user.slice/user-1000.slice/user@1000.service/docker/${ID}\n`,
    ],
    ["a service's group of that name", `0::/system.slice/batch.service/${ID}\n`],
    ['a group of that name beside it', `0::/batch/${ID}\n`],
    ['the group in one hierarchy, and another in the other', `1:name=systemd:/x/${ID}\n0::/docker/${ID}\n`],
  ])('not a process that claims it: %s', async (_what, cgroup) => {
    const { engine, clock, attest, inGroup, sinks } = machine()
    engine.start(ID)
    const attesting = attest(inGroup(cgroup, { uid: 1000 }))
    await clock.advance(200)
    const { selectors, unavailable, notes } = await attesting
    expect(selectors.size).toBe(0)
    expect(unavailable).toEqual([])
    expect(notes.map(({ text }) => text).join()).toContain('left out')
    expect(sinks.lines.find(({ level }) => level === 'warn')?.fields).toMatchObject({ uid: 1000, container: ID })
  })

  it('not a forger either once the container is known by its own processes', async () => {
    const { engine, clock, selectors, inContainer, inGroup } = machine()
    engine.start(ID)
    await selectors(inContainer(ID))
    const forging = selectors(inGroup(`0::/user.slice/user-1000.slice/docker-${ID}.scope\n`))
    await clock.advance(200)
    expect(await forging).toEqual({})
  })

  it('says a refused claim once a container', async () => {
    const { engine, clock, attest, inGroup, sinks } = machine()
    engine.start(ID)
    for (let i = 0; i < 3; i++) {
      const attesting = attest(inGroup(`0::/batch/${ID}\n`))
      await clock.advance(200)
      await attesting
    }
    expect(sinks.events('warn')).toHaveLength(1)
    expect(sinks.events('debug')).toHaveLength(2)
  })

  it('a rootless container, whose group a user could have made, after a second look', async () => {
    const { engine, clock, attest, inGroup } = machine()
    const cgroup = `0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${ID}.scope\n`
    engine.start(ID, { cgroup })
    const attesting = attest(inGroup(cgroup))
    await clock.advance(100)
    expect((await attesting).selectors.get('docker:container-id')).toBe(ID)
    expect(engine.inspections).toBe(2)
    await attest(inGroup(cgroup))
    expect(engine.inspections).toBe(2)
  })

  it('nobody who got the pid of a first process that had just ended', async () => {
    const { engine, clock, attest, inGroup } = machine()
    const pid = engine.start(ID)
    const forged = `0::/user.slice/user-1000.slice/docker-${ID}.scope\n`
    // The engine has not noticed yet that the container ended, and its pid is the forger's.
    engine.proc(pid, forged)
    const attesting = attest(inGroup(forged))
    await settle()
    engine.says(ID, { status: 'exited', pid: 0 })
    await clock.advance(200)
    expect((await attesting).selectors.size).toBe(0)
  })

  it('nobody who got the pid while the container was being started again', async () => {
    const { engine, clock, attest, inGroup } = machine()
    const pid = engine.start(ID)
    const forged = `0::/user.slice/user-1000.slice/docker-${ID}.scope\n`
    engine.proc(pid, forged)
    const attesting = attest(inGroup(forged))
    await settle()
    engine.start(ID)
    await clock.advance('5s')
    expect((await attesting).selectors.size).toBe(0)
  })

  it('nobody who got the pids of two runs of a container, one after the other', async () => {
    const { engine, clock, attest, inGroup } = machine()
    const forged = `0::/user.slice/user-1000.slice/docker-${ID}.scope\n`
    engine.proc(engine.start(ID), forged)
    const attesting = attest(inGroup(forged))
    await settle()
    engine.proc(engine.start(ID), forged)
    await clock.advance(100)
    engine.says(ID, { status: 'exited', pid: 0 })
    await clock.advance('5s')
    expect((await attesting).selectors.size).toBe(0)
  })

  it('nobody by what was found for somebody else in the moment when a pid changed hands', async () => {
    const { engine, clock, attest, inContainer, inGroup } = machine()
    const forged = `0::/user.slice/user-1000.slice/docker-${ID}.scope\n`
    const pid = engine.start(ID)
    engine.proc(pid, forged)
    await attest(inContainer(ID))
    engine.proc(pid, `0::/docker/${ID}\n`)
    const attesting = attest(inGroup(forged))
    await clock.advance(200)
    expect((await attesting).selectors.size).toBe(0)
  })

  it('the inner container, where the agent and the engine are in the outer one', async () => {
    const { engine, kernel, selectors, inGroup } = machine()
    kernel.ownCgroup = `0::/docker/${OTHER}/agent\n`
    engine.start(ID, { name: 'inner', cgroup: `0::/docker/${OTHER}/docker/${ID}\n` })
    expect(await selectors(inGroup(`0::/docker/${OTHER}/docker/${ID}\n`))).toMatchObject({
      'docker:container-name': 'inner',
    })
  })

  it('the outer container, where the engine knows nothing of the inner one', async () => {
    const { engine, selectors, inGroup } = machine()
    engine.start(OTHER, { name: 'outer' })
    expect(await selectors(inGroup(`0::/docker/${OTHER}/docker/${ID}\n`))).toMatchObject({
      'docker:container-name': 'outer',
    })
  })

  it('asks about four containers at most, however many names a path has', async () => {
    const { engine, clock, attest, inGroup } = machine()
    const names = Array.from({ length: 40 }, (_, i) => i.toString(16).padStart(64, '0')).join('/')
    const attesting = attest(inGroup(`0::/${names}\n`))
    await clock.advance('5s')
    expect((await attesting).selectors.size).toBe(0)
    expect(engine.inspections).toBe(4)
  })
})

describe('a container without a control group of its own', () => {
  const own = {
    files: { cgroup: '0::/system.slice/app.service\n', mountinfo: MOUNTED },
    namespaces: { mnt: 'mnt:[7]' },
  }

  it('is found by its mounts, where its first process shares them', async () => {
    const { engine, clock, caller, attest } = machine()
    engine.start(ID, { cgroup: '0::/system.slice/app.service\n', mountinfo: MOUNTED })
    const attesting = attest(caller(own))
    await clock.advance(100)
    expect((await attesting).selectors.get('docker:container-id')).toBe(ID)
  })

  it('is not that of a process which has left its mounts by the time that the first process is seen', async () => {
    const { engine, clock, caller, attest } = machine()
    engine.start(ID, { cgroup: '0::/system.slice/app.service\n', mountinfo: MOUNTED })
    let looks = 0
    const files = {
      cgroup: '0::/system.slice/app.service\n',
      get mountinfo() {
        return looks++ === 0 ? MOUNTED : '99 1 0:1 / / rw - overlay overlay rw\n'
      },
    }
    const result = attest(caller({ namespaces: { mnt: 'mnt:[9]' }, files }))
    await clock.advance('1s')
    const { selectors, notes } = await result
    expect(selectors.size).toBe(0)
    expect(notes.map(({ text }) => text).join()).toContain('changed its mount namespace')
  })

  it('is not claimed by mounts alone', async () => {
    const { engine, clock, caller, attest } = machine()
    engine.start(ID)
    const attesting = attest(caller(own))
    await clock.advance(200)
    expect((await attesting).selectors.size).toBe(0)
  })

  it('is left out where its mounts are too many to read', async () => {
    const { engine, caller, attest } = machine()
    engine.start(ID, { mountinfo: MOUNTED })
    const who = caller(own)
    const read = who.process.read.bind(who.process)
    Object.assign(who.process, {
      read: (file: Parameters<typeof read>[0]) => {
        if (file === 'mountinfo') throw new AgentError('file.too_large', 'too many mounts')
        return read(file)
      },
    })
    expect((await attest(who)).selectors.size).toBe(0)
  })

  it('is not looked for in the mounts of the host, nor where they cannot be told apart', async () => {
    const { engine, caller, attest } = machine()
    engine.start(ID, { mountinfo: MOUNTED })
    expect((await attest(caller({ ...own, namespaces: {} }))).selectors.size).toBe(0)
    expect((await attest(caller({ ...own, namespaces: { mnt: null } }))).selectors.size).toBe(0)
    expect(engine.inspections).toBe(0)
  })

  it('is not looked for where the control group names one', async () => {
    const { engine, clock, caller, attest } = machine()
    engine.start(ID, { mountinfo: MOUNTED })
    engine.start(OTHER)
    const who = caller({ ...own, files: { cgroup: `0::/docker/${OTHER}\n`, mountinfo: MOUNTED } })
    const attesting = attest(who)
    await clock.advance(200)
    expect((await attesting).selectors.get('docker:container-id')).toBe(OTHER)
  })
})
