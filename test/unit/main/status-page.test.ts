import { describe, expect, test } from 'vitest'
import { PageAccess } from '../../../agent/main/status-page/access.js'
import { pageAddress } from '../../../agent/main/status-page/address.js'
import { html, versionOf } from '../../../agent/main/status-page/html.js'
import { life, when } from '../../../agent/main/status-page/pieces.js'
import { timelineOf } from '../../../agent/main/status-page/timeline.js'
import { PAGE_ROWS, queryOf, shownRows, viewOf } from '../../../agent/main/status-page/view.js'

const NOW = Date.parse('2026-01-31T12:00:00Z')

describe('access', () => {
  test('the token is exchanged once, for a cookie that admits', () => {
    const access = new PageAccess()
    const token = access.token ?? ''
    expect(access.exchange(`${token}x`, 1)).toBeNull()
    const cookie = access.exchange(token, 1) ?? ''
    expect(cookie).toMatch(/^icp-agent-status-1=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
    expect(cookie).not.toContain(token)
    expect(access.exchange(token, 1)).toBeNull()
    expect(access.token).toBeNull()
    const [pair = ''] = cookie.split(';')
    expect(access.admits(`other=1; ${pair}`, 1)).toBe(true)
  })

  test('no cookie, another one, that of another port and the token itself admit nobody', () => {
    const access = new PageAccess()
    const token = access.token ?? ''
    const [pair = ''] = (access.exchange(token, 1) ?? '').split(';')
    const cookies = [undefined, '', 'icp-agent-status-1=', `icp-agent-status-1=${token}`, `${pair}x`, `x${pair}`]
    for (const cookie of cookies) expect(access.admits(cookie, 1), cookie).toBe(false)
    expect(access.admits(pair, 2)).toBe(false)
  })
})

describe('the address', () => {
  test.each([
    [undefined, { address: '127.0.0.1', port: 0 }],
    ['127.0.0.1:8090', { address: '127.0.0.1', port: 8090 }],
    ['8090', { address: '127.0.0.1', port: 8090 }],
    ['localhost:1', { address: '127.0.0.1', port: 1 }],
    ['[::1]:8090', { address: '::1', port: 8090 }],
  ])('%s', (text, address) => {
    expect(pageAddress(text)).toEqual(address)
  })

  test.each([
    '0.0.0.0:80',
    '10.0.0.1:80',
    '[::]:80',
    'example.org:80',
    '127.0.0.1',
    '127.0.0.1:65536',
    '',
    ':80',
    'workloads',
  ])('%s is refused: it is not of this machine alone', (text) => {
    expect(() => pageAddress(text)).toThrow(expect.objectContaining({ code: 'command.misused' }))
  })
})

test('what others choose is text in the page, wherever it stands', () => {
  const evil = `"><script>alert(1)</script>'&\u202e\u001b[2J`
  const { text } = html`<p title="${evil}">${[evil, html`<b>${evil}</b>`]}${null}${false}${0}</p>`
  expect(text.match(/<\/?[a-z]+/g)).toEqual(['<p', '<b', '</b', '</p'])
  for (const obeyed of ['\u202e', '\u001b']) expect(text).not.toContain(obeyed)
  expect(text).toContain('&quot;&gt;&lt;script&gt;')
})

test('a section is another one when it says something else, not when time goes by', () => {
  const section = (to: string, now: number) =>
    versionOf(html`${when(to, now)}${life({ from: '2026-01-31T11:00:00Z', to, renew: null, now })}`)
  const [end, later] = ['2026-01-31T13:00:00Z', '2026-01-31T13:00:01Z']
  expect(section(end, NOW)).toBe(section(end, NOW + 61_000))
  expect(section(end, NOW)).not.toBe(section(later, NOW))
})

describe('lists', () => {
  const rows = Array.from({ length: 2_000 }, (_, i) => ({ name: `web-${i}`, pid: i, state: i % 4 === 0 ? 'a' : 'b' }))
  const shown = (query: string) =>
    shownRows(
      rows,
      viewOf(new URLSearchParams(query)).workloads,
      ({ name, pid }) => [name, pid],
      ({ state }) => state,
    )

  test('of two thousand rows a page is shown, and the last one where a later one is asked for', () => {
    expect(shown('')).toMatchObject({ page: 1, pages: 80, matching: 2_000, total: 2_000 })
    expect(shown('').rows).toHaveLength(PAGE_ROWS)
    expect(shown('workloads.page=999999')).toMatchObject({ page: 80 })
    for (const odd of ['0', '-1', 'x', '1e3', '']) expect(shown(`workloads.page=${odd}`).page).toBe(1)
  })

  test('a row must have every word of the filter, and the state', () => {
    expect(shown('workloads=WEB-19+1999').rows).toEqual([{ name: 'web-1999', pid: 1_999, state: 'b' }])
    expect(shown('workloads=web-1996&workloads.state=a').matching).toBe(1)
    expect(shown('workloads=web-1996&workloads.state=b').matching).toBe(0)
  })

  test('a link to another page keeps what else is shown', () => {
    const view = viewOf(new URLSearchParams('workloads=a+b%26&entries.state=issued&denials.page=3'))
    const query = queryOf(view, 'workloads', { page: 2 })
    expect(viewOf(new URLSearchParams(query))).toEqual({ ...view, workloads: { filter: 'a b&', state: '', page: 2 } })
  })
})

test('the timeline counts what was issued and what is due, and moves an overdue rotation to now', () => {
  const svid = (renewIn: number) => ({ svid: { renew_at: new Date(NOW + renewIn * 1_000).toISOString() } })
  const look = {
    rotations: [NOW - 10_000, NOW - 11_000, NOW - 3_600_000 * 30],
    entries: [svid(20), svid(100), svid(-5), { svid: null }],
    status: { agent_svid: { issued_at: new Date(NOW - 60_000).toISOString(), renew_at: null } },
  }
  const { window, past, future, own } = timelineOf(look, NOW)
  const sum = (counts: readonly number[]) => counts.reduce((all, count) => all + count, 0)
  expect(window).toBeGreaterThanOrEqual(100_000)
  expect([sum(past.slice(-20)), sum(future), future[0]]).toEqual([2, 3, 1])
  expect(own).toHaveLength(1)
})
