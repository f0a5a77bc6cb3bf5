import { parseArgs } from 'node:util'
import { runChaos } from './run.js'
import { longRun } from './settings.js'

const USAGE = 'npm run chaos -- [--minutes N] [--seed N] [--logs DIR] [--quiet]'

/** So many violations are shown. */
const SHOWN = 20

/** `npm run chaos`: tells each fault as it happens, prints the report as JSON, exits 1 on a violation. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      logs: { type: 'string' },
      quiet: { type: 'boolean', default: false },
    },
  })
  const minutes = Number(values.minutes)
  const seed = Number(values.seed)
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new TypeError(`usage: ${USAGE}`)
  process.stderr.write(
    `seed ${seed}, ${minutes} minutes; the same again: npm run chaos -- --minutes ${minutes} --seed ${seed}\n`,
  )
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const report = await runChaos({
    signal: stop.signal,
    ...longRun(process.cwd(), seed, minutes),
    ...(values.quiet ? {} : { say: (line: string) => void process.stderr.write(`${line}\n`) }),
    ...(values.logs === undefined ? {} : { keepLogs: values.logs }),
  })
  const first = report.violations.slice(0, SHOWN)
  process.stdout.write(
    `${JSON.stringify({ ...report, violations: first, violationCount: report.violations.length }, null, 2)}\n`,
  )
  process.exitCode = report.violations.length === 0 ? 0 : 1
}

await main()
