import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
})
afterEach(() => rm(directory, { recursive: true }))

/** Runs the demo with a temporary directory of its own; `when` may look at what it prints and interrupt it. */
function demo(args: readonly string[], when: (stdout: string, interrupt: (signal: NodeJS.Signals) => void) => void) {
  const env = { ...process.env, TMPDIR: directory, NO_COLOR: '1' }
  const child = spawn(process.execPath, ['scripts/demo.mjs', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  let interrupted = false
  // Once: what it prints at its end is no reason for another one.
  const interrupt = (signal: NodeJS.Signals) => {
    if (!interrupted) child.kill(signal)
    interrupted = true
  }
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    when(stdout, interrupt)
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, stdout, stderr })),
  )
}

const watching = () => undefined

test.each(['workspace', 'tenant'])(
  '--once --json prints one document (%s generation)',
  async (generation) => {
    const { code, stdout, stderr } = await demo(['--once', '--json', '--generation', generation], watching)
    expect(code, stderr).toBe(0)
    const { spiffeId, serial, notAfter, selectors, dialects } = JSON.parse(stdout)
    expect(spiffeId).toBe(`spiffe://demo.example/user/${process.getuid?.()}`)
    expect(Date.parse(notAfter)).toBeGreaterThan(Date.now())
    expect(selectors).toMatchObject({ 'unix:uid': String(process.getuid?.()), 'unix:path': process.execPath })
    for (const dialect of ['spiffe', 'authsec']) {
      expect(dialects[dialect].svids.map((svid: { spiffeId: string }) => svid.spiffeId)).toEqual([
        spiffeId,
        'spiffe://demo.example/program/node',
      ])
      expect(dialects[dialect].svids[0].serial).toBe(serial)
    }
    expect(await readdir(directory)).toEqual([])
  },
  120_000,
)

test('without a terminal it tells a rotation in plain lines, and an interruption leaves nothing behind', async () => {
  const { code, stdout, stderr } = await demo([], (text, interrupt) => {
    if (text.includes('↻')) interrupt('SIGINT')
  })
  expect(code, stderr).toBe(0)
  expect(stdout).not.toContain('\u001b')
  expect(stdout).toMatch(/█+.*░+ +\d+ s {2}spiffe:\/\/demo\.example\//)
  expect(await readdir(directory)).toEqual([])
  for (const [, pid] of stdout.matchAll(/pid (\d+)/g)) expect(alive(Number(pid)), `pid ${pid}`).toBe(false)
}, 120_000)

test('a demo that is killed leaves no process', async () => {
  const { stdout } = await demo([], (text, interrupt) => {
    if (text.includes('received and verified')) interrupt('SIGKILL')
  })
  const pids = [...stdout.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid))
  expect(pids.length).toBeGreaterThanOrEqual(3)
  await expect.poll(() => pids.filter(alive), { timeout: 10_000 }).toEqual([])
}, 120_000)

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}
