import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'

it('the bundle is ASCII: V8 keeps another text with two bytes a character', () => {
  const print =
    "import('./scripts/package/bundle.mjs').then((module) => module.bundle()).then(({ code }) => process.stdout.write(code))"
  const code = execFileSync('node', ['--eval', print], { maxBuffer: 64 * 1024 * 1024 })
  expect(code.length).toBeGreaterThan(1_000_000)
  expect(code.findIndex((byte) => byte > 0x7f)).toBe(-1)
})
