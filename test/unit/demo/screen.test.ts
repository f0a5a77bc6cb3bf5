import { describe, expect, test } from 'vitest'
import { bar, remaining } from '../../../agent/main/terminal/bar.js'
import { clip, wrap } from '../../../agent/main/terminal/parts.js'
import { styleFor } from '../../../agent/main/terminal/style.js'
import { board } from '../../../dev/demo/board.js'
import { Screen } from '../../../dev/demo/screen.js'
import { BEGINNING, tell } from '../../../dev/demo/story.js'

const plain = styleFor({ isTTY: false }, {})

describe('a bar', () => {
  test.each([
    [1, '████████', ''],
    [0, '', '░░░░░░░░'],
    [0.5, '████', '░░░░'],
    [0.5625, '████▌', '░░░'],
    [2, '████████', ''],
    [-1, '', '░░░░░░░░'],
  ])('of %d', (fraction, full, empty) => expect(bar(fraction, 8)).toEqual({ full, empty }))
  test('is as long as what is left of a life, from its arrival', () => {
    const life = { receivedAt: 1000, notAfter: 11_000 }
    expect([0, 1000, 6000, 11_000, 20_000].map((now) => remaining(life, now))).toEqual([1, 1, 0.5, 0, 0])
    expect(remaining({ receivedAt: 5, notAfter: 5 }, 5)).toBe(0)
  })
})

test('a line is cut to its width, whatever its paint', () => {
  const red = (text: string) => `<${text}>`
  expect(clip([['abc'], ['def', red]], 6)).toBe('abc<def>')
  expect(clip([['abc'], ['def', red]], 5)).toBe('abc<d…>')
  expect(clip([['abc'], ['def', red]], 3)).toBe('abc')
  expect(clip([['abcdef']], 3)).toBe('ab…')
})

test('words are wrapped, and a long one has a line of its own', () => {
  expect(wrap(['aa', 'bb', 'cccccc', 'd'], 6)).toEqual(['aa  bb', 'cccccc', 'd'])
})

/** A terminal as it would look: lines, with a cursor that can go up and clear. */
function terminal(rows = 10) {
  const lines: string[] = ['']
  let row = 0
  const write = (text: string) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal obeys
    for (const [token] of text.matchAll(/\u001b\[\??\d*[A-Za-z]|\n|\r|[^\u001b\n\r]+/g)) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal obeys
      const up = /^\u001b\[(\d+)A$/.exec(token)
      if (up) row = Math.max(0, row - Number(up[1]))
      else if (token === '\n') lines[++row] ??= ''
      else if (token === '\u001b[J') lines.length = row + 1
      else if (token === '\r' || token.startsWith('\u001b')) continue
      else lines[row] = token
    }
  }
  return { write, rows, columns: 80, lines }
}

test('a picture is drawn over, below the lines that scroll', () => {
  const shown = terminal()
  const screen = new Screen(shown)
  screen.draw(['event 1'], ['picture 1', 'bar 1', 'end 1'])
  screen.draw(['event 2'], ['picture 2', 'bar 2'])
  screen.draw([], ['picture 3', 'bar 3'])
  expect(shown.lines).toEqual(['event 1', 'event 2', 'picture 3', 'bar 3', ''])
})

test('a picture that is higher than the terminal is cut', () => {
  const shown = terminal(3)
  new Screen(shown).draw([], ['1', '2', '3', '4'])
  expect(shown.lines).toEqual(['1', '2', ''])
})

test('the cursor is given back', () => {
  let text = ''
  const screen = new Screen({ write: (more) => (text += more), rows: 10 })
  screen.draw([], ['1'])
  screen[Symbol.dispose]()
  expect(text).toContain('\u001b[?25l')
  expect(text.endsWith('\u001b[?25h')).toBe(true)
})

test('the board fits the terminal and shows what is known', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const uri = `spiffe://demo.example/${'long/'.repeat(30)}name`
  const svids = [{ spiffeId: uri, serial: 'aa:bb:cc:dd', notBefore: now, notAfter: now + 18_000, authorities: 1 }]
  let story = tell(BEGINNING, { kind: 'workload', pid: 7, uid: 1000, executable: '/usr/bin/node' }, now)
  story = tell(story, { kind: 'attested', pid: 7, selectors: { 'unix:uid': '1000' } }, now)
  story = tell(story, { kind: 'holds', dialect: 'spiffe', changes: [], svids }, now)
  for (const columns of [70, 80, 200]) {
    const lines = board(story, now + 9000, columns, plain)
    for (const line of lines) expect([...line].length).toBeLessThan(columns)
    expect(lines.join('\n')).toMatch(/pid 7[\s\S]*unix:uid=1000[\s\S]*█+[▏▎▍▌▋▊▉]?░+ +9 s/)
  }
})
