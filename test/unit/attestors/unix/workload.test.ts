import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../../agent/attestation/caller.js'
import { codeOf } from '../../../../agent/errors.js'
import type { Digest } from '../../../../attestors/unix/executable.js'
import { UnixWorkloadAttestor } from '../../../../attestors/unix/workload.js'
import { FakeKernel, HOST_MOUNT, type ProcessTraits } from '../../../fakes/kernel.js'
import { documentedSelectors } from '../../../support/documented-selectors.js'

const SHA = 'a'.repeat(64)
const USERS = new Map([[1000, 'alice']])
const GROUPS = new Map([[2000, 'staff']])

function setting(
  options: { digestWanted?: boolean; forgeable?: boolean; digest?: Digest; allIdsMapped?: boolean } = {},
) {
  const kernel = new FakeKernel()
  if (options.allIdsMapped === false) kernel.host = { ...kernel.host, allIdsMapped: false }
  const asked: { path: string; inode: bigint; subject: string }[] = []
  const attestor = new UnixWorkloadAttestor({
    kernel,
    accounts: { user: async (id) => USERS.get(id) ?? null, group: async (id) => GROUPS.get(id) ?? null },
    digests: {
      digest: async ({ file, id }, subject) => {
        asked.push({ path: file, inode: id.inode, subject })
        return options.digest ?? { kind: 'digest', sha256: SHA }
      },
    },
    digestWanted: () => options.digestWanted ?? true,
    forgeable: options.forgeable ?? false,
  })
  const attest = (traits: ProcessTraits = {}) => {
    const process = kernel.spawn({ uid: 1000, gid: 2000, executable: '/usr/bin/app', ...traits })
    return attestor.attest(callerOf(kernel.peer(process)), new AbortController().signal)
  }
  const selectors = async (traits: ProcessTraits = {}) => Object.fromEntries((await attest(traits)).selectors)
  return { kernel, attestor, attest, selectors, asked }
}

const WITHOUT_NAMES = { 'unix:uid': '1000', 'unix:gid': '2000', 'unix:sha256': SHA }
const ALL = {
  ...WITHOUT_NAMES,
  'unix:user': 'alice',
  'unix:username': 'alice',
  'unix:group': 'staff',
  'unix:groupname': 'staff',
  'unix:path': '/usr/bin/app',
  'unix:exe': '/usr/bin/app',
}

describe('the unix attestor', () => {
  it('gives every spelling of what the kernel says of a process of the host', async () => {
    const { selectors, asked } = setting()
    expect(await selectors()).toEqual(ALL)
    expect(asked).toHaveLength(1)
  })

  it('gives what docs/attestors/unix.md names, and nothing else', async () => {
    const emitted = Object.keys(await setting({ forgeable: true }).selectors({ groups: [4] }))
    expect(emitted.map((key) => key.replace(/^(unix:supplementary_gid:).*/, '$1<gid>')).sort()).toEqual(
      documentedSelectors('unix'),
    )
  })

  it('has the programs of each container read in its turns, and those outside of containers in those of their user', async () => {
    const { attest, asked } = setting()
    const cgroups = ['a', 'b'].map((digit) => `0::/docker/${digit.repeat(64)}\n`)
    for (const cgroup of [...cgroups, '0::/user.slice\n']) await attest({ uid: 0, files: { cgroup } })
    const containers = ['a', 'b'].map((digit) => `container:${digit.repeat(64)}`)
    expect(asked.map(({ subject }) => subject)).toEqual([...containers, 'uid:0'])
  })

  it('reads no program while no entry asks for the digest, and says so', async () => {
    const { attest, asked } = setting({ digestWanted: false })
    const { selectors, unavailable, notes } = await attest()
    expect([selectors.has('unix:sha256'), selectors.get('unix:path'), unavailable]).toEqual([false, '/usr/bin/app', []])
    expect(notes.map(({ text }) => text)).toContain('unix:sha256 not computed: no entry asks for it')
    expect(asked).toEqual([])
  })

  it.each<[string, ProcessTraits, Record<string, string>]>([
    [
      'supplementary groups have a key each',
      { groups: [4, 27] },
      { ...ALL, 'unix:supplementary_gid:4': 'true', 'unix:supplementary_gid:27': 'true' },
    ],
    [
      'a process in another mount namespace has neither path nor names',
      { namespaces: { mnt: 'mnt:[2]' } },
      WITHOUT_NAMES,
    ],
    [
      'a process in another user namespace has a path and no names',
      { namespaces: { user: 'user:[2]' } },
      { ...WITHOUT_NAMES, 'unix:path': '/usr/bin/app', 'unix:exe': '/usr/bin/app' },
    ],
    ['a namespace that cannot be read is not the one of the host', { namespaces: { mnt: null } }, WITHOUT_NAMES],
    [
      'a user and a group without a name have none',
      { uid: 7, gid: 8 },
      { 'unix:uid': '7', 'unix:gid': '8', 'unix:sha256': SHA, 'unix:path': '/usr/bin/app', 'unix:exe': '/usr/bin/app' },
    ],
  ])('%s', async (_name, traits, expected) => {
    const { selectors } = setting()
    expect(await selectors(traits)).toEqual(expected)
  })

  it('a host whose namespaces are not known has no processes', async () => {
    const { kernel } = setting()
    const attestor = new UnixWorkloadAttestor({
      kernel: { host: { mnt: null, user: null, root: '', allIdsMapped: true, besidePid1: true }, ownCgroup: '' },
      accounts: { user: async () => 'root', group: async () => 'root' },
      digests: { digest: async () => ({ kind: 'digest', sha256: SHA }) },
      digestWanted: () => true,
      forgeable: false,
    })
    const process = kernel.spawn({ namespaces: { mnt: null, user: null } })
    const { selectors } = await attestor.attest(callerOf(kernel.peer(process)), new AbortController().signal)
    expect([...selectors.keys()]).toEqual(['unix:uid', 'unix:gid', 'unix:sha256'])
  })

  it('the name that a process gives itself counts only when forgeable selectors are allowed', async () => {
    expect(await setting().selectors({ comm: 'nginx' })).not.toHaveProperty('unix:process')
    expect(await setting({ forgeable: true }).selectors({ comm: 'a) S (b' })).toHaveProperty('unix:process', 'a) S (b')
  })

  it('an executable that cannot be seen has neither path nor digest, and nothing is read', async () => {
    const { selectors, asked } = setting()
    const found = await selectors({ executable: null })
    expect(found).not.toHaveProperty('unix:sha256')
    expect(found).not.toHaveProperty('unix:path')
    expect(asked).toEqual([])
  })

  it.each<[string, bigint, bigint]>([
    ["connected through a mount of its own and runs through one of the host's", 7n, HOST_MOUNT],
    ["connected through a mount of the host's and runs through one of its own", HOST_MOUNT, 7n],
  ])('a process that %s has neither path nor digest', async (_name, before, after) => {
    const { kernel, attestor, asked } = setting()
    const process = kernel.spawn()
    process.exec('/usr/bin/app', before)
    const caller = callerOf(kernel.peer(process))
    process.exec('/usr/bin/app', after)
    const { selectors, notes } = await attestor.attest(caller, new AbortController().signal)
    expect([...selectors.keys()].filter((key) => /path|exe|sha256/.test(key))).toEqual([])
    expect(notes.map(({ text }) => text).join()).toContain('runs another program than when it connected')
    expect(asked).toEqual([])
    expect(process.programs).toBe(0)
  })

  it('path, mount and digest are those of one held program, which is let go of', async () => {
    const { kernel, attestor, asked } = setting()
    const process = kernel.spawn({ executable: '/usr/bin/app' })
    const found = attestor.attest(callerOf(kernel.peer(process)), new AbortController().signal)
    // The first look has been: what runs from now on changes nothing of it.
    process.exec('/usr/bin/trusted')
    expect((await found).selectors.get('unix:path')).toBe('/usr/bin/app')
    expect(asked.map(({ path }) => path)).toEqual(['/usr/bin/app'])
    expect(process.programs).toBe(0)
  })

  it.each<[string, Digest, string[]]>([
    ['absent when it is too large or unreadable', { kind: 'absent', reason: 'too large' }, []],
    ['unavailable when nobody can say yet', { kind: 'unknown', reason: 'hangs' }, ['unix']],
  ])('the digest is %s', async (_name, digest, unavailable) => {
    const found = await setting({ digest }).attest()
    expect(found.selectors.has('unix:sha256')).toBe(false)
    expect(found.selectors.get('unix:path')).toBe('/usr/bin/app')
    expect(found.unavailable).toEqual(unavailable)
    expect(found.notes.some(({ text }) => text.includes(digest.kind))).toBe(true)
  })

  it('ids that the agent cannot tell apart are left out', async () => {
    const nobody = { uid: 65534, gid: 65534, groups: [65534, 5] }
    expect(await setting().selectors(nobody)).toMatchObject({ 'unix:uid': '65534', 'unix:gid': '65534' })
    const found = await setting({ allIdsMapped: false }).selectors(nobody)
    expect(found).toMatchObject({ 'unix:supplementary_gid:5': 'true' })
    for (const key of ['unix:uid', 'unix:gid', 'unix:supplementary_gid:65534']) expect(found).not.toHaveProperty(key)
  })

  it('a user in ever so many groups has bounded selectors', async () => {
    const groups = Array.from({ length: 65_536 }, (_, i) => i + 1)
    const { selectors, notes } = await setting().attest({ groups })
    expect(selectors.size).toBeLessThanOrEqual(1024 + 10)
    expect(notes.some(({ text }) => text.includes('groups left out'))).toBe(true)
  })

  it('a process that ends meanwhile is no result', async () => {
    const { kernel, attestor } = setting()
    const process = kernel.spawn()
    const caller = callerOf(kernel.peer(process))
    process.exit()
    const found = attestor.attest(caller, new AbortController().signal)
    expect(await found.then(() => 'found', codeOf)).toBe('caller.exited')
  })
})
