// Adds up the results of several steps and prints `N passed, N failed` as the last line.
//   node scripts/count-tests.mjs NAME=EXIT_CODE[=VITEST_JSON_REPORT]...
// A step that failed without a failed test in its report (a type error, a file that cannot be loaded, a timeout) counts
// as one failure. Exits 1 if anything failed.
import { readFileSync } from 'node:fs'

let passed = 0
let failed = 0
for (const step of process.argv.slice(2)) {
  const [name, code, path] = step.split('=')
  const report = path === undefined ? null : read(path)
  const failures = report?.numFailedTests ?? 0
  passed += report?.numPassedTests ?? 0
  failed += failures
  const broken = code !== '0' || (path !== undefined && report === null)
  if (broken && failures === 0) failed++
  const counted =
    report === null ? '' : `: ${report.numPassedTests} passed, ${failures} failed, ${skipped(report)} skipped`
  process.stdout.write(`${broken || failures > 0 ? 'FAILED' : 'ok    '} ${name}${counted}\n`)
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1

function skipped(report) {
  return report.numPendingTests + report.numTodoTests
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}
