import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'icp-scripts-'))
  cpSync('scripts', join(root, 'scripts'), { recursive: true })
})
afterEach(() => {
  rmSync(root, { recursive: true })
})

function run(script: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts', script), ...args], {
    encoding: 'utf8',
    env: { ...process.env, npm_execpath: join(root, 'npm.js') },
  })
  return { status, stdout, stderr }
}

describe('ensure-installed', () => {
  const lock = (packages: Record<string, unknown>) => JSON.stringify({ packages: { '': {}, ...packages } })
  const wanted = { 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '1.0.0', optional: true } }
  function prepare(installed: Record<string, unknown> | null, npmExit = 0): void {
    writeFileSync(join(root, 'package-lock.json'), lock(wanted))
    mkdirSync(join(root, 'node_modules'))
    if (installed) writeFileSync(join(root, 'node_modules/.package-lock.json'), lock(installed))
    // In the place of npm: remembers how it was called.
    const npm = `require('fs').writeFileSync(__dirname + '/called', process.argv.slice(2).join(' ')); process.exit(${npmExit})`
    writeFileSync(join(root, 'npm.js'), npm)
  }
  const called = () => {
    try {
      return readFileSync(join(root, 'called'), 'utf8')
    } catch {
      return null
    }
  }

  test.each<[string, Record<string, unknown> | null, boolean]>([
    ['nothing is installed', null, true],
    ['a version differs', { ...wanted, 'node_modules/a': { version: '1.0.1' } }, true],
    ['a package is missing', { 'node_modules/b': { version: '1.0.0' } }, true],
    ['all is there', wanted, false],
    ['only a package of another platform is missing', { 'node_modules/a': { version: '1.0.0' } }, false],
  ])('when %s', (_, installed, installs) => {
    prepare(installed)
    expect(run('ensure-installed.mjs')).toMatchObject({ status: 0, stdout: '' })
    expect(called()).toBe(installs ? 'ci --no-audit --no-fund' : null)
  })

  test('a failed installation is told and ends what follows', () => {
    prepare(null, 1)
    expect(run('ensure-installed.mjs')).toMatchObject({ status: 1, stderr: expect.stringContaining('npm ci failed') })
  })
})

describe('count-tests', () => {
  const report = (name: string, passed: number, failed: number) => {
    const path = join(root, `${name}.json`)
    const counts = { numPassedTests: passed, numFailedTests: failed, numPendingTests: 0, numTodoTests: 0 }
    writeFileSync(path, JSON.stringify(counts))
    return path
  }
  const last = (stdout: string) => stdout.trim().split('\n').at(-1)

  test('reports are added up', () => {
    const { status, stdout } = run('count-tests.mjs', `a=0=${report('a', 3, 0)}`, `b=0=${report('b', 4, 0)}`, 'check=0')
    expect([status, last(stdout)]).toEqual([0, '7 passed, 0 failed'])
  })

  test('failed tests are counted once, not again for the exit code of their run', () => {
    const { status, stdout } = run('count-tests.mjs', `a=1=${report('a', 3, 2)}`)
    expect([status, last(stdout)]).toEqual([1, '3 passed, 2 failed'])
  })

  test('a step that fails without a failed test, and one without its report, count as one failure each', () => {
    const args = [`a=1=${report('a', 3, 0)}`, 'check=1', `b=0=${join(root, 'missing.json')}`]
    const { status, stdout } = run('count-tests.mjs', ...args)
    expect([status, last(stdout)]).toEqual([1, '3 passed, 3 failed'])
  })

  test('no test at all is not a success', () => {
    expect(run('count-tests.mjs', 'check=0').status).toBe(1)
  })
})
