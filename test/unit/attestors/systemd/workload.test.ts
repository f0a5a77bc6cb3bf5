import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../../agent/attestation/caller.js'
import { AgentError, codeOf } from '../../../../agent/errors.js'
import type { Fragment } from '../../../../attestors/systemd/fragments.js'
import { SystemdWorkloadAttestor } from '../../../../attestors/systemd/workload.js'
import { FakeKernel } from '../../../fakes/kernel.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { documentedSelectors } from '../../../support/documented-selectors.js'

const FILE = '/usr/lib/systemd/system/nginx.service'
const NGINX = '0::/system.slice/nginx.service\n'

function setting(fragment: Fragment = { kind: 'known', path: FILE }) {
  const kernel = new FakeKernel()
  const files = new MemoryFiles()
  files.content.set('/proc/1/cgroup', Buffer.from('0::/init.scope\n'))
  const asked: string[] = []
  const attestor = new SystemdWorkloadAttestor({
    files,
    fragments: {
      of: async ({ id }) => {
        asked.push(id)
        return fragment
      },
    },
  })
  const attest = (cgroup: string) => {
    const process = kernel.spawn({ files: { cgroup } })
    return attestor.attest(callerOf(kernel.peer(process)), new AbortController().signal)
  }
  return { kernel, files, asked, attestor, attest }
}

const UNIT = { 'systemd:id': 'nginx.service', 'systemd:slice': 'system.slice' }

describe('the systemd attestor', () => {
  it('gives the unit, its slice and its file, in every spelling', async () => {
    const { attest } = setting()
    const { selectors, unavailable, notes } = await attest(NGINX)
    expect(Object.fromEntries(selectors)).toEqual({
      ...UNIT,
      'systemd:fragment-path': FILE,
      'systemd:fragment_path': FILE,
    })
    expect([...selectors.keys()].sort()).toEqual(documentedSelectors('systemd'))
    expect(unavailable).toEqual([])
    expect(notes.map(({ text }) => text)).toEqual(['unit nginx.service in system.slice, by its control group'])
  })

  it.each<[string, Fragment, Record<string, string>, readonly string[]]>([
    ['a unit without a file has none', { kind: 'absent', why: 'made by systemd' }, UNIT, []],
    [
      'without an answer the unit is known and the rest is unavailable',
      { kind: 'unknown', why: 'away' },
      UNIT,
      ['systemd'],
    ],
    ['a group that the manager does not know is nobody’s', { kind: 'foreign', why: 'elsewhere' }, {}, []],
  ])('%s', async (_what, fragment, expected, unavailable) => {
    const { attest } = setting(fragment)
    const result = await attest(NGINX)
    expect(Object.fromEntries(result.selectors)).toEqual(expected)
    expect(result.unavailable).toEqual(unavailable)
    expect(result.notes.at(-1)?.text).toContain('why' in fragment ? fragment.why : '')
  })

  it('a process in no unit has no selectors, misses none, and costs no question', async () => {
    const { attest, asked } = setting()
    const { selectors, unavailable, notes } = await attest('0::/docker/x\n')
    expect([selectors.size, unavailable, asked]).toEqual([0, [], []])
    expect(notes).toHaveLength(1)
  })

  it('without a view of the manager nothing is known, and it is looked for again', async () => {
    const { attest, files } = setting()
    const content = files.content.get('/proc/1/cgroup') ?? Buffer.alloc(0)
    files.content.clear()
    expect(await attest(NGINX)).toMatchObject({ unavailable: ['systemd'] })
    files.hook = () => {
      throw new AgentError('file.io', 'EACCES')
    }
    expect(await attest(NGINX)).toMatchObject({ unavailable: ['systemd'] })
    files.hook = () => undefined
    files.content.set('/proc/1/cgroup', content)
    expect((await attest(NGINX)).selectors.get('systemd:id')).toBe('nginx.service')
  })

  it('a process that has ended is said to have', async () => {
    const { kernel, attestor } = setting()
    const process = kernel.spawn({ files: { cgroup: NGINX } })
    const caller = callerOf(kernel.peer(process))
    process.exit()
    const failed = attestor.attest(caller, new AbortController().signal).catch(codeOf)
    expect(await failed).toBe('caller.exited')
  })
})
