import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { SETTING_KEYS } from '../../../agent/config/schema.js'
import { COMMANDS } from '../../../agent/main/command-table.js'
import { manualFiles } from '../../../agent/main/manual/manual-files.js'

const folder = mkdtempSync(join(tmpdir(), 'icp-man-'))
afterAll(() => rmSync(folder, { recursive: true }))

const { pages } = await manualFiles('1.2.3')
const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '80', MANROFFSEQ: '' }
const noMan = spawnSync('man', ['--version']).error !== undefined

function path(name: string): string {
  const file = join(folder, name)
  writeFileSync(file, pages.get(name) ?? '')
  return file
}

function shown(name: string): string {
  return execFileSync('man', ['-l', path(name)], { env, encoding: 'utf8' })
}

it('makes a page of each command, one of all, and one of the settings', () => {
  const names = COMMANDS.map(({ name }) => `icp-agent-${name.replaceAll(' ', '-')}.1`)
  expect([...pages.keys()].sort()).toEqual(['icp-agent.1', 'icp-agent.yaml.5', ...names].sort())
})

it('makes the same pages each time', async () => {
  expect(await manualFiles('1.2.3')).toEqual(await manualFiles('1.2.3'))
})

it.skipIf(noMan)('makes pages that man has nothing to say about', () => {
  for (const name of pages.keys()) {
    const args = ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', path(name)]
    expect([name, spawnSync('man', args, { env, encoding: 'utf8' }).stderr]).toEqual([name, ''])
  }
})

it.skipIf(noMan)('shows every setting, and every line of a help', async () => {
  const settings = shown('icp-agent.yaml.5')
  expect(SETTING_KEYS.filter((key) => !new RegExp(`^ +${key.replaceAll('.', '\\.')}$`, 'm').test(settings))).toEqual([])
  const words = (text: string) => text.split(/\s+/).filter((word) => /^[a-z]{3,}$/.test(word))
  for (const { name, load } of COMMANDS) {
    const text = new Set(words(shown(`icp-agent-${name.replaceAll(' ', '-')}.1`)))
    expect([name, words((await load()).help).filter((word) => !text.has(word))]).toEqual([name, []])
  }
})
