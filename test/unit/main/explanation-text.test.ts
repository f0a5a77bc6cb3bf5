import { expect, test } from 'vitest'
import { type ExplainAnswer, explain, type ProcessAnswer } from '../../../agent/admin/routes/explain.js'
import { explanationText } from '../../../agent/main/explanation-text.js'
import { styleFor } from '../../../agent/main/terminal/style.js'

const NOW = '2026-01-31T13:05:09.000Z'
const plain = styleFor({ isTTY: false }, {})

const NOTHING: ProcessAnswer['decision'] = {
  kind: 'refuse',
  code: 'entry.none',
  text: 'no identity issued',
  spiffe_ids: [],
  until: null,
}

const DENIED: ProcessAnswer = {
  subject: {
    pid: 4242,
    uid: 1000,
    gid: 1000,
    groups: [4, 24],
    command: 'web\u001b[2J',
    program: '/usr/bin/node',
    container: 'ab'.repeat(32),
    container_name: 'web',
  },
  error: null,
  selectors: [
    { selector: 'unix:uid', value: '1000', attestor: 'unix' },
    { selector: 'unix:path', value: "/opt/it's  here/\u202enode", attestor: 'unix' },
  ],
  unavailable: [{ platform: 'k8s', reason: 'the Kubernetes API does not answer' }],
  notes: [{ attestor: 'docker', text: 'not in a container of this engine' }],
  matches: [],
  nearest: [
    {
      entry_id: 'e1',
      spiffe_id: 'spiffe://example.org/shop/web',
      missing: [
        { selector: 'docker:label:app', value: 'web', unavailable: false },
        { selector: 'k8s:ns', value: 'shop', unavailable: true },
      ],
      different: [{ selector: 'unix:uid', wanted: '33', found: '1000' }],
    },
  ],
  uncertain: false,
  decision: NOTHING,
  after_hold: NOTHING,
}

function answer(processes: readonly ProcessAnswer[], more: Partial<ExplainAnswer> = {}): ExplainAnswer {
  const all = {
    api_version: 1,
    now: NOW,
    how: 'process 4242, held by a pidfd',
    denial: null,
    processes,
    others: [],
    hold_seconds: 4,
    only_a_connection_shows: ['whether it calls too often'],
    ...more,
  }
  return explain.schema.parse(all)
}

const text = (given: ExplainAnswer, width = 80) => explanationText(given, plain, width)

test('a person reads what the process is, what was found, exactly what is missing or different, and what to do', () => {
  expect(text(answer([DENIED]))).toBe(`Process 4242 (web\\u001b[2J)
  user 1000, group 1000, groups 4 24
  program /usr/bin/node
  container abababababababababababababababababababababababababababababababab
  (web)
  found as: process 4242, held by a pidfd

Selectors by attestor
  unix
    unix:uid=1000
    unix:path=/opt/it's  here/\\u202enode
  docker
    (not in a container of this engine)

Unavailable
  k8s: the Kubernetes API does not answer

No entry matches

Nearest entries
  spiffe://example.org/shop/web (entry e1)
    different  unix:uid=33 (it has 1000)
    missing    docker:label:app=web
    unknown    k8s:ns=shop (unavailable now)

On a call now
  is refused: no identity issued (entry.none)

What to do
  - If one of the nearest entries was meant for it: correct that entry, or the
    process.
  - Or register an entry that it matches, at the ICP server with
    (docs/register.md has the whole call)
      "selectors": {"unix:uid":"1000","unix:path":"/opt/it's  here/\\u202enode"}
  - and at the embedded server (icp-agent dev-icp) by
      icp-agent dev-icp entry create /NAME unix:uid=1000 'unix:path=/opt/it'\\''s  here/\\u202enode'
  - An entry counts within half a minute.

What only a connection shows
  - whether it calls too often
`)
})

test('no line but a command to copy, or one long word, is wider than the terminal', () => {
  for (const width of [60, 80, 120]) {
    const lines = text(answer([DENIED]), width).split('\n')
    const wide = lines.filter(
      (line) => line.length > width && !line.startsWith('      ') && !line.includes('=') && !/\S{40}/.test(line),
    )
    expect(wide).toEqual([])
  }
})

test('what is sent and until when, and what a call waits for', () => {
  const send: ProcessAnswer['decision'] = {
    kind: 'send',
    code: null,
    text: null,
    spiffe_ids: ['spiffe://example.org/a'],
    until: NOW,
  }
  expect(text(answer([{ ...DENIED, decision: send, after_hold: send }]))).toContain(
    'is sent spiffe://example.org/a, until 2026-01-31 13:05:09Z',
  )
  const hold: ProcessAnswer['decision'] = {
    kind: 'hold',
    code: 'svid.pending',
    text: 'some are pending',
    spiffe_ids: [],
    until: NOW,
  }
  const waiting = text(answer([{ ...DENIED, decision: hold, after_hold: send }]))
  expect(waiting).toContain('waits, up to 4 s as calls do (svid.pending): some are pending')
  expect(waiting).toContain('and, if nothing comes, is sent spiffe://example.org/a')
})

test('a denial whose process has ended shows what was known of it', () => {
  const denial = {
    id: '1a2b3c4d5e6f',
    time: NOW,
    last_time: NOW,
    count: 1,
    pid: 4242,
    uid: 1000,
    gid: 1000,
    program: '/usr/bin/node',
    container: null,
    pod: null,
    unit: null,
    method: 'FetchX509SVID',
    code: 'entry.none',
    reason: 'no identity issued',
    explanation: { selectors: { 'unix:uid': '1000' }, unavailable: ['k8s'], notes: ['docker: gone'], nearest: null },
  }
  const shown = text(answer([], { denial, how: 'process 4242 has ended; this is what was known then' }))
  for (const part of ['Denial 1a2b3c4d5e6f', 'unix:uid=1000', 'Unavailable then: k8s', '(docker: gone)', 'has ended']) {
    expect(shown).toContain(part)
  }
  expect(shown).toContain(`What to do
  - Register an entry that it matches,`)
  expect(shown).toContain('icp-agent dev-icp entry create /NAME unix:uid=1000\n')
})

test('where no entry is near, the first advice is to register one', () => {
  expect(text(answer([{ ...DENIED, nearest: [] }]))).toContain(`What to do
  - Register an entry that it matches,`)
})
