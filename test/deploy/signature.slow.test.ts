import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeSystemPackages } from '../support/system-packages.js'

const obstacle = spawnSync('minisign', ['-v']).error

describe.skipIf(obstacle !== undefined)('npm run package -- --sign KEY', () => {
  const work = mkdtempSync(join(tmpdir(), 'icp-sign-'))
  const [secret, pub] = [join(work, 'test.key'), join(work, 'test.pub')]
  let folder: string
  beforeAll(() => {
    execFileSync('minisign', ['-G', '-W', '-p', pub, '-s', secret], { stdio: 'ignore' })
    folder = makeSystemPackages(join(work, 'out'), ['--no-linux-packages', '--sign', secret])
  })
  afterAll(() => rmSync(work, { recursive: true, force: true }))
  const verified = () => spawnSync('minisign', ['-V', '-p', pub, '-m', 'SHA256SUMS'], { cwd: folder, encoding: 'utf8' })

  it('signs the checksums, which name every other file', () => {
    const { status, stdout } = verified()
    expect([status, stdout]).toEqual([0, expect.stringContaining('Trusted comment: icp-agent ')])
    execFileSync('sha256sum', ['--quiet', '-c', 'SHA256SUMS'], { cwd: folder })
    expect(readFileSync(join(folder, 'SHA256SUMS'), 'utf8')).not.toContain('minisig')
  })

  it('is noticed where a checksum was changed', () => {
    appendFileSync(join(folder, 'SHA256SUMS'), '\n')
    expect(verified().status).not.toBe(0)
  })

  it('builds nothing where the key is not there', () => {
    const out = join(work, 'other')
    const args = ['scripts/package.mjs', '--out', out, '--arch', process.arch, '--sign', join(work, 'none')]
    const { status, stderr } = spawnSync('node', args, { encoding: 'utf8' })
    expect([status, stderr, existsSync(out)]).toEqual([1, expect.stringContaining('ENOENT'), false])
  })
})
