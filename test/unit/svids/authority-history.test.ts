import { describe, expect, it } from 'vitest'
import { AuthorityHistory } from '../../../agent/svids/authority-history.js'
import { authorityOf, svidOf } from '../../fakes/identities.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOW = Date.parse('2026-01-01T00:00:00Z')
const ACCOUNT = '7c9e6679-7425-40de-944b-e07fc1f90ae7'

const [old, young] = [authorityOf('old'), authorityOf('young')]
const empty = () => AuthorityHistory.empty(ACCOUNT)
const names = (history: AuthorityHistory) => history.authorities.map(({ fingerprint }) => fingerprint)
const domains = (history: AuthorityHistory) => [...history.bundles(new Map()).keys()]
const svid = (domain: string, notAfter: number, authority = old) =>
  svidOf('a', { domain, notBefore: notAfter - HOUR, notAfter, authority: authority.fingerprint })

describe('the authorities of the account', () => {
  it('are those that the server named, in the order in which they were first seen', () => {
    const history = empty()
      .named([old], NOW)
      .named([young], NOW + HOUR)
      .named([old, young], NOW + 2 * HOUR)
    expect(names(history)).toEqual([old.fingerprint, young.fingerprint])
  })

  it('outlive their successor by the longest life of an SVID: other nodes may still show theirs', () => {
    const named = empty().named([old], NOW)
    const at = (minutes: number) => named.named([young], NOW + minutes * MINUTE).pruned(NOW + minutes * MINUTE)
    expect(names(at(60))).toEqual([old.fingerprint, young.fingerprint])
    expect(names(at(62))).toEqual([young.fingerprint])
    const longer = named.issued(
      svidOf('a', { notBefore: NOW, notAfter: NOW + 24 * HOUR, authority: old.fingerprint }),
      NOW,
    )
    const hoursLater = (hours: number) => longer.named([young], NOW + hours * HOUR).pruned(NOW + hours * HOUR)
    expect(names(hoursLater(23))).toHaveLength(2)
    expect(names(hoursLater(25))).toEqual([young.fingerprint])
  })

  it('stay for as long as an SVID of theirs is in use, whatever the server names', () => {
    const later = NOW + 10 * HOUR
    const history = empty().named([old], NOW).named([young], later)
    expect(names(history.pruned(later, () => new Set([old.fingerprint])))).toEqual([old.fingerprint, young.fingerprint])
    expect(names(history.pruned(later, () => new Set([young.fingerprint])))).toEqual([young.fingerprint])
  })

  it('count as active again when they issue', () => {
    const history = empty()
      .named([old], NOW)
      .named([young], NOW + 50 * MINUTE)
      .issued(svid('example.org', NOW + 2 * HOUR), NOW + 55 * MINUTE)
      .named([young], NOW + 100 * MINUTE)
    expect(names(history.pruned(NOW + 100 * MINUTE))).toHaveLength(2)
  })

  it('are kept however long the server is away: silence withdraws nothing', () => {
    const history = empty()
      .named([old], NOW)
      .issued(svid('example.org', NOW + HOUR), NOW)
    const later = history.pruned(NOW + 30 * 24 * HOUR)
    expect(later).toBe(history)
    expect(domains(later)).toEqual([ACCOUNT, 'example.org'])
  })

  it('go when they expire', () => {
    const mortal = authorityOf('mortal', { notAfter: NOW + HOUR })
    const history = empty().named([mortal, young], NOW)
    expect(history.pruned(NOW + HOUR - 1)).toBe(history)
    expect(names(history.pruned(NOW + HOUR))).toEqual([young.fingerprint])
  })

  it('survive a clock that jumps back', () => {
    const history = empty()
      .named([old], NOW + 10 * HOUR)
      .named([young], NOW)
    expect(names(history.pruned(NOW + MINUTE))).toEqual([old.fingerprint, young.fingerprint])
  })
})

describe('the trust domains', () => {
  it('are the account, and those of SVIDs that were issued and verified', () => {
    const history = empty().named([old], NOW)
    expect(domains(history)).toEqual([ACCOUNT])
    expect(domains(history.issued(svid('example.org', NOW + HOUR), NOW))).toEqual([ACCOUNT, 'example.org'])
    expect(domains(history.markServed('jwt.example.org', NOW + HOUR))).toEqual([ACCOUNT, 'jwt.example.org'])
  })

  it('are served for one life more after their last SVID has ended, by the word of a server that is there', () => {
    const history = empty()
      .named([old], NOW)
      .issued(svid('example.org', NOW + HOUR), NOW)
    const at = (hours: number) => history.named([old], NOW + hours * HOUR).pruned(NOW + hours * HOUR)
    expect(domains(at(1.9))).toEqual([ACCOUNT, 'example.org'])
    expect(domains(at(2.1))).toEqual([ACCOUNT])
  })

  it('do not forget a longer life for a shorter one', () => {
    const history = empty()
      .named([old], NOW)
      .issued(svid('example.org', NOW + 9 * HOUR), NOW)
    const shorter = history.issued(svid('example.org', NOW + HOUR), NOW).markServed('example.org', NOW + MINUTE)
    expect(shorter.state.domains.get('example.org')).toBe(NOW + 9 * HOUR)
  })
})

describe('the state of an earlier run', () => {
  const middle = authorityOf('middle')
  const earlier = empty()
    .named([old, middle], NOW)
    .issued(svid('example.org', NOW + 9 * HOUR), NOW)
    .markServed('both.org', NOW + HOUR)
  const later = empty()
    .named([middle, young], NOW + HOUR)
    .issued(svidOf('a', { notBefore: NOW, notAfter: NOW + 24 * HOUR, domain: 'new.org', authority: '' }), NOW + HOUR)
    .markServed('both.org', NOW + 2 * HOUR)

  it.each([
    ['taken into a newer one', later.merged(earlier.state)],
    ['that takes in a newer one', earlier.merged(later.state)],
  ])('%s loses nothing of either', (_which, history) => {
    const { records, domains, longestLifeMs } = history.state
    const moments = new Map(
      records.map((record) => [record.authority.fingerprint, [record.firstSeen, record.lastActive]]),
    )
    expect(moments).toEqual(
      new Map([
        [old.fingerprint, [NOW, NOW]],
        [middle.fingerprint, [NOW, NOW + HOUR]],
        [young.fingerprint, [NOW + HOUR, NOW + HOUR]],
      ]),
    )
    expect(domains).toEqual(
      new Map([
        ['example.org', NOW + 9 * HOUR],
        ['both.org', NOW + 2 * HOUR],
        ['new.org', NOW + 24 * HOUR],
      ]),
    )
    expect(longestLifeMs).toBe(24 * HOUR)
  })

  it('comes first: authorities stay in the order in which they were first seen', () => {
    expect(names(later.merged(earlier.state))).toEqual([old.fingerprint, middle.fingerprint, young.fingerprint])
  })
})

describe('the bundles', () => {
  it('are the same object as long as nothing about them changes, and so is each bundle', () => {
    const history = empty()
      .named([old], NOW)
      .issued(svid('example.org', NOW + HOUR), NOW)
    const bundles = history.bundles(new Map())
    expect(
      history
        .named([old], NOW + 1)
        .issued(svid('example.org', NOW + 2 * HOUR), NOW + 1)
        .bundles(bundles),
    ).toBe(bundles)
    const more = history.issued(svid('other.org', NOW + HOUR), NOW).bundles(bundles)
    expect(more).not.toBe(bundles)
    expect(more.get('example.org')).toBe(bundles.get('example.org'))
    expect(more.get('other.org')?.authorities).toEqual([old])
    const rotated = history.named([young], NOW).bundles(bundles)
    expect(rotated.get('example.org')?.authorities).toEqual([old, young])
  })

  it('are none before an authority is known', () => {
    const nothing = new Map()
    expect(empty().bundles(nothing)).toBe(nothing)
    expect(empty().markServed('example.org', NOW).bundles(nothing).size).toBe(0)
  })
})

describe('an SVID of a new authority', () => {
  const history = empty()
    .named([old], NOW)
    .named([old, young], NOW + HOUR)

  it('is shown only after the delay, so that other nodes know the authority by then', () => {
    expect(history.servableFrom(young.fingerprint, 10 * MINUTE)).toBe(NOW + HOUR + 10 * MINUTE)
  })

  it('is shown at once where the authority is the first of all, or the oldest that is left', () => {
    expect(history.servableFrom(old.fingerprint, 10 * MINUTE)).toBe(0)
    expect(
      empty()
        .named([old, young], NOW)
        .servableFrom(young.fingerprint, 10 * MINUTE),
    ).toBe(0)
  })

  it('keeps its moment when the authority is named again, and after a restart', () => {
    const restarted = new AuthorityHistory(ACCOUNT, history.named([young], NOW + 2 * HOUR).state)
    expect(restarted.servableFrom(young.fingerprint, 10 * MINUTE)).toBe(NOW + HOUR + 10 * MINUTE)
  })
})
