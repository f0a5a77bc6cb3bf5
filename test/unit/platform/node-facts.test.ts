import os from 'node:os'
import { describe, expect, it } from 'vitest'
import { readNodeFacts } from '../../../agent/platform/node-facts.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { FakeClock, settle } from '../../fakes/clock.js'

describe('the facts of the node', () => {
  it('on this machine name the distribution, the kernel and the host', async () => {
    const facts = await readNodeFacts(new SystemClock())
    expect(facts).toMatchObject({ hostname: os.hostname(), arch: os.arch(), memoryBytes: os.totalmem() })
    expect(facts.kernel).toMatch(/^\d+\./)
    expect(facts.os).not.toBe('')
    expect(facts.cpus).toBeGreaterThan(0)
    expect(facts.username).not.toBe('')
  })

  it('name the distribution with its release', async () => {
    const facts = await readNodeFacts(new FakeClock(), async () => ({ distro: 'Debian', release: '12', kernel: '6.1' }))
    expect([facts.os, facts.kernel]).toEqual(['Debian 12', '6.1'])
  })

  it('are what Node knows when the question fails', async () => {
    const clock = new FakeClock()
    const facts = await readNodeFacts(clock, () => Promise.reject(new Error('no shell')))
    expect([facts.os, facts.kernel, clock.pending]).toEqual([os.platform(), os.release(), 0])
  })

  it('are what Node knows when the answer takes longer than three seconds', async () => {
    const clock = new FakeClock()
    let facts: unknown = null
    void readNodeFacts(clock, () => new Promise(() => undefined)).then((read) => {
      facts = read
    })
    await clock.advance(2999)
    expect(facts).toBeNull()
    await clock.advance(1)
    await settle()
    expect(facts).toMatchObject({ os: os.platform() })
  })

  it('keep the plain name where the distribution is unknown', async () => {
    const ask = async () => ({ distro: 'unknown', release: '', kernel: '' })
    expect((await readNodeFacts(new FakeClock(), ask)).os).toBe(os.platform())
  })
})
