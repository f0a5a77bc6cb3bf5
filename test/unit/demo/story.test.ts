import { describe, expect, test } from 'vitest'
import { styleFor } from '../../../agent/main/terminal/style.js'
import { agentEvent } from '../../../dev/demo/agent-log.js'
import { documentOf } from '../../../dev/demo/document.js'
import type { DemoEvent } from '../../../dev/demo/events.js'
import { eventLines } from '../../../dev/demo/lines.js'
import { BEGINNING, isComplete, type Story, tell } from '../../../dev/demo/story.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const A = 'spiffe://demo.example/a'
const plain = styleFor({ isTTY: false }, {})

const svid = (serial: string, at = NOW) => ({
  spiffeId: A,
  serial,
  notBefore: at - 1000,
  notAfter: at + 18_000,
  authorities: 1,
})
const holds = (serial: string, dialect: 'spiffe' | 'authsec', kind: string, at = NOW): DemoEvent => ({
  kind: 'holds',
  dialect,
  changes: [{ kind, about: A }],
  svids: [svid(serial, at)],
})
const attested: DemoEvent = { kind: 'attested', pid: 7, selectors: { 'unix:uid': '1000' } }
const workload: DemoEvent = { kind: 'workload', pid: 7, uid: 1000, executable: '/usr/bin/node' }

function told(...events: readonly DemoEvent[]): Story {
  return events.reduce((story, event) => tell(story, event, NOW), BEGINNING)
}

describe('the demo is complete', () => {
  test('once both dialects hold the same SVIDs and the selectors are known', () => {
    const [one, other] = [holds('aa', 'spiffe', 'granted'), holds('aa', 'authsec', 'granted')]
    expect(isComplete(told(workload, attested, one))).toBe(false)
    expect(isComplete(told(workload, one, other))).toBe(false)
    expect(isComplete(told(workload, attested, one, other))).toBe(true)
  })
  test('not while one dialect is behind', () => {
    const events = [workload, attested, holds('aa', 'spiffe', 'granted'), holds('bb', 'authsec', 'granted')]
    expect(isComplete(told(...events))).toBe(false)
  })
})

test('another process that is attested meanwhile does not change the story', () => {
  const stranger: DemoEvent = { kind: 'attested', pid: 8, selectors: { 'unix:uid': '0' } }
  expect(told(workload, attested, stranger).selectors).toEqual({ 'unix:uid': '1000' })
})

test('the selectors count also when they are told before the workload speaks', () => {
  expect(told(attested, workload).selectors).toEqual({ 'unix:uid': '1000' })
})

test('rotations are counted, and a bar begins when its SVID arrives', () => {
  let story = told(workload, holds('aa', 'spiffe', 'granted'))
  expect(story.held.get('spiffe')).toMatchObject([{ rotations: 0, receivedAt: NOW }])
  story = tell(story, holds('bb', 'spiffe', 'rotated', NOW + 9000), NOW + 9000)
  story = tell(story, holds('bb', 'spiffe', 'bundle', NOW + 9000), NOW + 9500)
  expect(story.held.get('spiffe')).toMatchObject([{ rotations: 1, receivedAt: NOW + 9000 }])
})

test('the document names the default identity, its times, and both dialects', () => {
  const story = told(workload, attested, holds('aa', 'spiffe', 'granted'), holds('aa', 'authsec', 'granted'))
  expect(documentOf(story)).toMatchObject({
    spiffeId: A,
    serial: 'aa',
    notAfter: '2026-01-01T00:00:18.000Z',
    selectors: { 'unix:uid': '1000' },
    dialects: { spiffe: { svids: [{ serial: 'aa' }] }, authsec: { svids: [{ serial: 'aa' }] } },
  })
})

test('each thing that happens is one line; the second dialect is told of once', () => {
  const first = holds('aa', 'authsec', 'granted')
  expect(eventLines(first, BEGINNING, NOW, plain)).toHaveLength(1)
  expect(eventLines(holds('bb', 'authsec', 'rotated'), told(first), NOW, plain)).toEqual([])
  const story = told(holds('aa', 'spiffe', 'granted'))
  const [line] = eventLines(holds('bb', 'spiffe', 'rotated', NOW + 9000), story, NOW + 9000, plain)
  expect(line).toContain(`↻ ${A} rotated with 9 s left`)
})

test('without a board, too, the command to try in another terminal is shown', () => {
  const event: DemoEvent = { kind: 'agent', socket: '/tmp/d/agent.sock', pid: 9 }
  const command = 'npx icp-agent api watch x509 --socket unix:///tmp/d/agent.sock'
  expect(eventLines(event, BEGINNING, NOW, plain).join()).toContain(command)
  expect(eventLines(event, BEGINNING, NOW, plain, true)).toHaveLength(1)
})

test('what a selector holds cannot draw on the terminal', () => {
  const event: DemoEvent = { kind: 'attested', pid: 7, selectors: { 'unix:path': '/tmp/\u001b[2J' } }
  expect(eventLines(event, BEGINNING, NOW, plain).join()).not.toContain('\u001b')
})

describe('the log of the agent', () => {
  test.each([
    [{ event: 'Workload attested', pid: 7, selectors: { 'unix:uid': '1' } }, 'attested'],
    [{ event: 'Workload API call denied', pid: 7, uid: 1, reason: 'no' }, 'denied'],
    [{ event: 'Node attestation successful', spiffe_id: A, not_after: '2026-01-01T00:00:00Z' }, 'node'],
    [{ event: 'Agent SVID renewal successful', spiffe_id: A, not_after: '2026-01-01T00:00:00Z' }, 'node'],
    [{ event: 'Something odd', level: 'warning', error: { message: 'why' } }, 'warning'],
  ])('%j', (line, kind) => expect(agentEvent(line, true)?.kind).toBe(kind))
  test.each([
    [{ event: 'Workload attested', pid: 7, selectors: 9 }],
    [{ event: 'Something', level: 'info' }],
    [{ event: 'Node attestation successful' }],
  ])('%j is passed over', (line) => expect(agentEvent(line, true)).toBeNull())
})
