import { appendFileSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readVersioned } from '../../../agent/platform/versioned-file.js'

const directory = mkdtempSync(join(tmpdir(), 'icp-'))
afterAll(() => rmSync(directory, { recursive: true }))
const file = (name: string, content: string): string => {
  writeFileSync(join(directory, name), content)
  return join(directory, name)
}

describe('a file that is read again when it changes', () => {
  it('is read once for each version', async () => {
    const path = file('passwd', 'one')
    const first = await readVersioned(path, null)
    if (first === null || first === 'unchanged') throw new Error('not read')
    expect(first.text).toBe('one')
    expect(await readVersioned(path, first.version)).toBe('unchanged')
    appendFileSync(path, ' two')
    expect(await readVersioned(path, first.version)).toMatchObject({ text: 'one two' })
  })

  it('is nothing where it is missing, a directory, or larger than allowed', async () => {
    expect(await readVersioned(join(directory, 'none'), null)).toBeNull()
    expect(await readVersioned(directory, null)).toBeNull()
    expect(await readVersioned(file('large', 'x'.repeat(11)), null, 10)).toBeNull()
    expect(await readVersioned(file('fits', 'x'.repeat(10)), null, 10)).toMatchObject({ text: 'x'.repeat(10) })
  })

  it('is followed through symlinks: the platform provides it', async () => {
    symlinkSync(file('target', 'here'), join(directory, 'link'))
    expect(await readVersioned(join(directory, 'link'), null)).toMatchObject({ text: 'here' })
  })

  it('leaves no descriptor open', async () => {
    const path = file('again', 'x')
    await readVersioned(path, null)
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 10; i++) await readVersioned(path, null)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})
