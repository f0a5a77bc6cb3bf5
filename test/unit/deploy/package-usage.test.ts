import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const packaging = (...args: string[]) =>
  spawnSync(process.execPath, ['scripts/package.mjs', ...args], { encoding: 'utf8', timeout: 60_000 })

test('npm run package answers --help, and a wrong option without a stack', () => {
  const help = packaging('--help')
  expect([help.status, help.stderr]).toEqual([0, ''])
  expect(help.stdout).toContain('--npm-package FILE')
  const wrong = packaging('--npm-pakage', 'x')
  expect([wrong.status, wrong.stdout]).toEqual([2, ''])
  expect(wrong.stderr).toContain(help.stdout)
  expect(wrong.stderr).not.toContain('    at ')
})
