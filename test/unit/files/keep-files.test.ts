import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { type KeepFilesOptions, keepFiles } from '../../../agent/files/keep-files.js'
import type { Received } from '../../../agent/files/output-files.js'
import { FakeClock } from '../../fakes/clock.js'

const VALUE: Received = { x509: null, tokens: new Map(), jwks: null, trustDomain: null }
const full = new AgentError('file.io', 'the disk is full')

function options(values: readonly Received[], more: Partial<KeepFilesOptions> = {}) {
  const told: string[] = []
  const clock = new FakeClock()
  async function* received() {
    yield* values
  }
  const made: KeepFilesOptions = {
    received: received(),
    composer: { files: async () => [] },
    generations: { put: () => true, sweep: () => void told.push('sweep') },
    clock,
    signal: new AbortController().signal,
    once: false,
    written: async (_value, { first, changed }) => void told.push(`written ${first} ${changed}`),
    failed: (error, delayMs) => void told.push(`${error.code} ${delayMs}`),
    graceMs: 10,
    ...more,
  }
  return { made, told, clock }
}
const written = (told: readonly string[]) => told.filter((line) => line !== 'sweep')

test('files that are there already are told of at the start, and later only where they change', async () => {
  const answers = [false, false, true]
  const put = () => answers.shift() ?? false
  const { made, told } = options([VALUE, VALUE, VALUE], { generations: { put, sweep: () => undefined } })
  await keepFiles(made)
  expect(told).toEqual(['written true false', 'written false true'])
})

test('once is once, and what was replaced is removed before the end', async () => {
  const { made, told, clock } = options([VALUE, VALUE], { once: true })
  await keepFiles(made)
  expect(written(told)).toEqual(['written true true'])
  expect(told.at(-1)).toBe('sweep')
  expect(clock.pending).toBe(0)
})

test('what a killed process has left is removed before any identity comes', async () => {
  const { made, told } = options([])
  await keepFiles(made)
  expect(told).toEqual(['sweep'])
})

test('a full disk is told of and tried again, ever more seldom; what was received is not lost', async () => {
  let failures = 3
  const put = () => {
    if (failures-- > 0) throw full
    return true
  }
  const { made, told, clock } = options([VALUE], { generations: { put, sweep: () => undefined } })
  const done = keepFiles(made)
  for (let i = 0; i < 8; i++) await clock.advance(1_000)
  await done
  expect(told).toEqual(['file.io 1000', 'file.io 2000', 'file.io 3000', 'written true true'])
})

test('with once it fails instead', async () => {
  const put = () => {
    throw full
  }
  const { made } = options([VALUE], { once: true, generations: { put, sweep: () => undefined } })
  await expect(keepFiles(made)).rejects.toBe(full)
})
