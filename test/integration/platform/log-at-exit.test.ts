import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'

let directory: string
let bundle: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'icp-log-exit-'))
  bundle = join(directory, 'log.cjs')
  buildSync({
    entryPoints: ['agent/platform/pino-log.ts'],
    bundle: true,
    platform: 'node',
    target: 'node20',
    outfile: bundle,
  })
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

const LINES = 2000

/** Runs a program that logs and ends in its own way; gives what arrived on stdout. */
async function run(ending: string, target: 'pipe' | number = 'pipe'): Promise<string> {
  const program = `
    const { createLog } = require(${JSON.stringify(bundle)})
    const log = createLog({ level: 'info', format: 'json', filePath: process.argv[1] })
    for (let i = 0; i < ${LINES}; i++) log.info('line', { i })
    ${ending}`
  const child = spawn(process.execPath, ['-e', program, join(directory, 'file.log')], {
    stdio: ['ignore', target, 'ignore'],
  })
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  await new Promise((resolve) => child.on('close', resolve))
  return output
}

const numbers = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).i as number)

test.each([
  ['ends by itself', ''],
  ['disposes of the log', 'log[Symbol.dispose]()'],
  ['exits', 'process.exit(0)'],
  ['exits in the middle of writing', 'setImmediate(() => process.exit(0))'],
  ['throws', 'throw new Error("x")'],
])('a process that %s loses no line and prints none twice, on stdout and in the file', async (_, ending) => {
  rmSync(join(directory, 'file.log'), { force: true })
  const all = Array.from({ length: LINES }, (_, i) => i)
  const sorted = (text: string) => numbers(text).sort((a, b) => a - b)
  expect(sorted(await run(ending))).toEqual(all)
  expect(sorted(readFileSync(join(directory, 'file.log'), 'utf8'))).toEqual(all)
})
