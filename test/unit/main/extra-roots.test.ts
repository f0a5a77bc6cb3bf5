import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { ExtraRoots } from '../../../agent/main/extra-roots.js'
import { fileEvents } from '../../../agent/observability/file-events.js'
import { TestCa } from '../../fakes/ca.js'
import { FakeClock } from '../../fakes/clock.js'
import { MemoryFiles } from '../../fakes/memory-files.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const PATH = '/etc/ca.pem'
const WISH = { notBefore: 0, notAfter: 4_000_000_000_000 }
const ONE = (await TestCa.create('one', WISH)).pem
const TWO = (await TestCa.create('two', WISH)).pem

function setUp(content: string | null) {
  const files = new MemoryFiles()
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = fileEvents(sinks.log, clock)
  const put = (text: string | null) =>
    text === null ? void files.content.delete(PATH) : void files.content.set(PATH, Buffer.from(text))
  put(content)
  const roots = new ExtraRoots({ path: PATH, files, fileEvents: events, clock, log: sinks.log })
  return { files, sinks, events, put, roots }
}

describe('the file of additional trust anchors', () => {
  it.each([
    ['is emptied', '', 'is empty'],
    ['is gone', null, 'is missing'],
    ['is cut off', ONE.slice(0, 200), 'certificate 1 of 1 is broken'],
    ['is cut off after a whole certificate', `${ONE}${TWO.slice(0, 200)}`, 'certificate 2 of 2 is broken'],
    ['is cut off within a boundary', `${ONE}${TWO}-----BEGIN CERT`, 'certificate 3 of 3 is broken'],
    ['is garbage', '\u0000\u0001', 'holds no certificate'],
    ['holds a key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'holds a private key'],
  ])('that %s while the agent runs takes no authority away', async (_what, content, problem) => {
    const { put, roots, sinks, events } = setUp(ONE)
    expect(await roots.look()).toBe(true)
    const before = roots.current
    put(content)
    for (let i = 0; i < 3; i++) expect(await roots.look()).toBe(false)
    expect(roots.current).toBe(before)
    expect(sinks.lines.filter(({ level }) => level === 'warn')).toMatchObject([{ fields: { path: PATH } }])
    expect(events.broken()).toMatchObject([{ path: PATH, message: expect.stringContaining(problem) }])
    put(TWO)
    expect(await roots.look()).toBe(true)
    expect(roots.current).toEqual([TWO])
    expect(sinks.events('info')).toEqual(['Reread file can be used again'])
    expect(events.broken()).toEqual([])
  })

  it.each(['file.io', 'file.unsafe', 'file.too_large'] as const)('with %s stays in force likewise', async (code) => {
    const { files, roots, events } = setUp(ONE)
    await roots.look()
    files.hook = () => {
      throw new AgentError(code, 'not now')
    }
    expect(await roots.look()).toBe(false)
    expect(roots.current).toEqual([ONE])
    expect(events.broken()).toMatchObject([{ path: PATH, code }])
  })

  it('that was never there adds nothing, which validation has told, and counts once it comes', async () => {
    const { put, roots, sinks } = setUp(null)
    expect(await roots.look()).toBe(false)
    expect(sinks.lines).toEqual([])
    put('not yet')
    expect(await roots.look()).toBe(false)
    expect(sinks.events('warn')).toHaveLength(1)
    put(ONE)
    expect(await roots.look()).toBe(true)
    expect(roots.current).toEqual([ONE])
  })
})
