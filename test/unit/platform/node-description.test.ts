import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { describeNode } from '../../../agent/platform/node-description.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { ownDirectory } from '../../support/own-directory.js'

describe('the description of the node', () => {
  it('on this machine name the distribution, the kernel and the host', async () => {
    const description = await describeNode(new SystemClock())
    expect(description).toMatchObject({ hostname: os.hostname(), arch: os.arch(), memoryBytes: os.totalmem() })
    expect(description.kernel).toMatch(/^\d+\./)
    expect(description.os).not.toBe('')
    expect(description.cpus).toBeGreaterThan(0)
    expect(description.username).not.toBe('')
  })

  it.each([
    ['PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n', 'Debian GNU/Linux 12'],
    ["NAME=Fedora\nPRETTY_NAME='Fedora Linux 41 (Container Image)'\n", 'Fedora Linux 41'],
    ['PRETTY_NAME=Void\r\n', 'Void'],
    [`PRETTY_NAME="${'x'.repeat(5000)}"\n`, 'x'.repeat(100)],
    ['PRETTY_NAME="a\u001b[31mb"\n', 'a[31mb'],
  ])('name the distribution by its own file, and ask nobody else: %j', async (text, name) => {
    await using directory = await ownDirectory()
    const path = join(directory.path, 'os-release')
    await writeFile(path, text)
    const osInfo = () => Promise.reject(new TypeError('it was asked'))
    const description = await describeNode(new FakeClock(), { releaseFiles: [`${path}.not`, path], osInfo })
    expect(description).toMatchObject({ os: name, kernel: os.release() })
  })

  it.each(['', 'NAME=Debian\n', 'PRETTY_NAME=""\n'])('are asked of others where the file says %j', async (text) => {
    await using directory = await ownDirectory()
    const path = join(directory.path, 'os-release')
    await writeFile(path, text)
    const osInfo = async () => ({ distro: 'Debian', release: '12', kernel: '6.1' })
    expect((await describeNode(new FakeClock(), { releaseFiles: [path], osInfo })).os).toBe('Debian 12')
  })

  it('name the distribution with its release', async () => {
    const osInfo = async () => ({ distro: 'Debian', release: '12', kernel: '6.1' })
    const description = await describeNode(new FakeClock(), { releaseFiles: [], osInfo })
    expect([description.os, description.kernel]).toEqual(['Debian 12', '6.1'])
  })

  it('are what Node knows when the question fails', async () => {
    const clock = new FakeClock()
    const description = await describeNode(clock, {
      releaseFiles: [],
      osInfo: () => Promise.reject(new Error('no shell')),
    })
    expect([description.os, description.kernel, clock.pending]).toEqual([os.platform(), os.release(), 0])
  })

  it('are what Node knows when the answer takes longer than three seconds', async () => {
    const clock = new FakeClock()
    let description: unknown = null
    void describeNode(clock, { releaseFiles: [], osInfo: () => new Promise(() => undefined) }).then((read) => {
      description = read
    })
    await settle()
    await clock.advance(2999)
    expect(description).toBeNull()
    await clock.advance(1)
    await settle()
    expect(description).toMatchObject({ os: os.platform() })
  })

  it('keep the plain name where the distribution is unknown', async () => {
    const ask = async () => ({ distro: 'unknown', release: '', kernel: '' })
    expect((await describeNode(new FakeClock(), { releaseFiles: [], osInfo: ask })).os).toBe(os.platform())
  })
})
