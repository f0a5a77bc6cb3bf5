import { describe, expect, it } from 'vitest'
import { fileEvents } from '../../../../agent/observability/file-events.js'
import { Accounts, namesById, type ReadVersioned } from '../../../../attestors/unix/accounts.js'
import { FakeClock } from '../../../fakes/clock.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

function setting(root = '') {
  const clock = new FakeClock()
  const files = new Map<string, string>()
  let reads = 0
  const read: ReadVersioned = async (path, known) => {
    reads++
    const text = files.get(path)
    if (text === undefined) return null
    return text === known ? 'unchanged' : { version: text, text }
  }
  const sinks = new RecordedSinks()
  const events = fileEvents(sinks.log, clock)
  return {
    clock,
    files,
    sinks,
    events,
    accounts: new Accounts({ read, clock, root, fileEvents: events }),
    reads: () => reads,
  }
}

describe('names of ids', () => {
  it.each<[string, string, [number, string][]]>([
    ['the first of several names of one id counts', 'root:x:0:0::/:\ntoor:x:0:0::/:', [[0, 'root']]],
    ['lines that are no accounts are passed over', '+::::::\n-bad:x:1::\n#x:x:2\n\nshort\na:x:b:1', [[2, '#x']]],
    ['an id of another spelling is none', 'a:x:-1:\nb:x:1e3:\nc:x: 7:\nd:x:0x7:', []],
    ['groups have the same form', 'adm:x:4:syslog,me', [[4, 'adm']]],
  ])('%s', (_name, text, names) => {
    expect([...namesById(text)]).toEqual(names)
  })

  it('are those of the host', async () => {
    const { files, accounts } = setting('/proc/1/root')
    files.set('/etc/passwd', 'wrong:x:5:5::/:')
    files.set('/proc/1/root/etc/passwd', 'games:x:5:60::/:')
    files.set('/proc/1/root/etc/group', 'tty:x:5:')
    expect(await accounts.user(5)).toBe('games')
    expect(await accounts.group(5)).toBe('tty')
    expect(await accounts.user(6)).toBeNull()
  })

  it('are looked up again once a second at most, by all who ask together once', async () => {
    const { clock, files, accounts, reads } = setting()
    files.set('/etc/passwd', 'a:x:5:')
    expect(await Promise.all([1, 2, 5, 5].map((id) => accounts.user(id)))).toEqual([null, null, 'a', 'a'])
    files.set('/etc/passwd', 'b:x:5:')
    expect(await accounts.user(5)).toBe('a')
    expect(reads()).toBe(1)
    await clock.advance('1s')
    expect(await accounts.user(5)).toBe('b')
    await clock.advance('1s')
    expect(await accounts.user(5)).toBe('b')
    expect(reads()).toBe(3)
  })

  it.each([
    ['is gone', undefined],
    ['is emptied', ''],
    ['holds no account any more', 'nonsense'],
  ])('of a file that %s are those of before, which is told once', async (_what, content) => {
    const { clock, files, accounts, sinks, events } = setting()
    files.set('/etc/passwd', 'a:x:5:')
    expect(await accounts.user(5)).toBe('a')
    if (content === undefined) files.delete('/etc/passwd')
    else files.set('/etc/passwd', content)
    for (let i = 0; i < 3; i++) {
      await clock.advance('1s')
      expect(await accounts.user(5)).toBe('a')
    }
    expect(sinks.events('warn')).toHaveLength(1)
    expect(events.broken()).toMatchObject([{ path: '/etc/passwd', code: 'file.broken' }])
    files.set('/etc/passwd', 'a:x:5:')
    await clock.advance('1s')
    expect(await accounts.user(5)).toBe('a')
    expect(sinks.events('info')).toEqual(['Reread file can be used again'])
    expect(events.broken()).toEqual([])
  })

  it('of a file that was never there are unknown, which is no trouble', async () => {
    const { accounts, sinks } = setting()
    expect(await accounts.user(5)).toBeNull()
    expect(sinks.lines).toEqual([])
  })

  it('follow a file that is whole: a removed account has no name', async () => {
    const { clock, files, accounts } = setting()
    files.set('/etc/passwd', 'a:x:5:\nb:x:6:')
    expect(await accounts.user(5)).toBe('a')
    files.set('/etc/passwd', 'b:x:6:')
    await clock.advance('1s')
    expect(await accounts.user(5)).toBeNull()
  })
})
