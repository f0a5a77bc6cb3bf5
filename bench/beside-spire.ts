import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { bundlePrograms } from '../test/support/bundle-programs.js'
import { buildPrograms } from './beside-spire/build.js'
import { type Bench, CASES, type Figure } from './beside-spire/cases.js'
import { type Results, writeReport } from './beside-spire/report.js'
import { endAll, floor, ours, ownDirectory, spire, type Target, WITHOUT_HEALTH } from './beside-spire/targets.js'

/**
 * Compares this agent with SPIRE's and with bare gRPC servers, using one load generator. Targets alternate within each
 * repetition, so that disturbances of the machine affect all of them.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    repeat: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    'no-page': { type: 'boolean', default: false },
    executable: { type: 'string' },
    targets: { type: 'string', default: '' },
  },
})
const unknown = positionals.filter((name) => !CASES.some((one) => one.name.startsWith(name)))
if (unknown.length > 0)
  throw new Error(`no such case: ${unknown.join(', ')}; known: ${CASES.map((c) => c.name).join(', ')}`)
const cases = CASES.filter((one) => positionals.length === 0 || positionals.some((name) => one.name.startsWith(name)))
/** `--targets icp-agent,floor`: only those whose names begin so. */
const chosen = values.targets.split(',')
const isChosen = (name: string) => chosen.some((beginning) => name.startsWith(beginning))
const repetitions = Number(values.repeat)
const say = (text: string) => process.stdout.write(`${text}\n`)

const root = process.cwd()
const programs = buildPrograms(root)
const executable = values.executable ?? shippedExecutable()
const node = pinnedNode()

function shippedExecutable(): string {
  say('Making the single executable …')
  const out = join(tmpdir(), 'icp-agent-beside-spire-packages')
  execFileSync('node', ['scripts/package.mjs', '--out', out, '--arch', process.arch], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const version = readFileSync(join(out, 'latest'), 'utf8').trim()
  return join(out, version, `icp-agent-${version}-linux-${process.arch}`)
}

/** The Node of images and single executables, on which the bare servers run. */
function pinnedNode(): string {
  const script = `import('./scripts/package/fetch.mjs').then((m) => console.log(m.nodePackage('${process.arch}')))`
  return join(execFileSync('node', ['--eval', script], { encoding: 'utf8' }).trim(), 'bin', 'node')
}

const directory = await mkdtemp(join(tmpdir(), 'icp-beside-'))
await chmod(directory, 0o755)
const targets: Target[] = []
try {
  const loadgen = join(directory, 'loadgen')
  copyFileSync(programs.loadgen, loadgen)
  const sha256 = createHash('sha256').update(readFileSync(loadgen)).digest('hex')
  const at = (name: string) => ownDirectory(join(directory, name))
  const { floorJs } = await bundlePrograms(root, join(directory, 'programs'), {
    floorJs: 'bench/beside-spire/floor.ts',
  })

  const results: Results = { repetitions, targets: [], figures: [], failures: [], seconds: new Map() }
  /** Throws where a target does not serve: a comparison without it takes as long and is not what was asked for. */
  const add = async (name: string, make: () => Promise<Target>): Promise<void> => {
    if (!isChosen(name)) return
    const target = await make()
    targets.push(target)
    results.targets.push(name)
    await target.register?.('workload', bench.selector(target))
    await served(target, loadgen)
    say(`${target.name}: serves`)
  }
  let entries = 0
  const bench: Bench = {
    loadgen,
    quick: values.quick,
    fresh: () => `push-${entries++}`,
    random: Math.random,
    selector: (target) => (target.name.includes('sha256') ? `unix:sha256:${sha256}` : `unix:path:${loadgen}`),
  }
  const wanted = new Set(cases.map((one) => (one.sha256 ? 'sha256' : one.targets)))
  if (wanted.has('all') || wanted.has('agents')) {
    await add('icp-agent', async () => ours(await at('ours'), executable))
    await add('SPIRE RSA', async () => spire(await at('rsa'), programs, { keyType: 'rsa-2048' }))
    await add('SPIRE EC', async () => spire(await at('ec'), programs, { keyType: 'ec-p256' }))
  }
  if (wanted.has('all')) {
    if (cases.some(({ name }) => name === 'start' || name === 'idle')) {
      await add(WITHOUT_HEALTH, async () => ours(await at('ours-bare'), executable, { withoutHealth: true }))
    }
    await ownDirectory(join(directory, 'floors'))
    const socket = (name: string) => join(directory, 'floors', name)
    const js = (name: string, place: string, ...more: string[]) =>
      add(name, () => floor(name, socket(place), node, [floorJs, socket(place), '3106', ...more]))
    await js('floor: grpc-js', 'js')
    await js('floor: grpc-js, one look', 'look', 'check')
    await add('floor: grpc-go', () =>
      floor('floor: grpc-go', socket('go'), programs.loadgen, ['floor', '-socket', socket('go')]),
    )
  }
  if (wanted.has('sha256')) {
    await add('icp-agent, sha256', async () => ours(await at('ours-sha'), executable, { sha256: true }))
    await add('SPIRE RSA, sha256', async () =>
      spire(await at('rsa-sha'), programs, { keyType: 'rsa-2048', sha256: true }),
    )
  }

  for (const one of cases) {
    const began = performance.now()
    const times = values.quick ? repetitions : Math.max(repetitions, one.least ?? 0)
    const its = targets.filter(
      (target) =>
        Boolean(one.sha256) === target.name.includes('sha256') &&
        (one.targets === 'all' || target.register !== null) &&
        one.without !== target.name &&
        (target.only?.includes(one.name) ?? true),
    )
    for (let n = 0; n < times; n++) {
      const measure = async (target: Target): Promise<void> => {
        try {
          const figures = await one.run(target, bench)
          for (const figure of figures)
            results.figures.push({ case: one.name, target: target.name, repetition: n, ...figure })
          say(`${one.name} ${n + 1}/${times}  ${target.name.padEnd(26)} ${figures.map(text).join('  ')}`)
        } catch (error) {
          // The other results are still useful.
          failed(results, one.name, target.name, error)
          await revive(target, loadgen)
        }
      }
      if (one.together) await Promise.all(its.map(measure))
      else for (const target of its) await measure(target)
    }
    results.seconds.set(one.name, (performance.now() - began) / 1000)
    say(`${one.name} took ${Math.round((performance.now() - began) / 1000)} s`)
    // After each case, so that an aborted run has written its results.
    if (!values['no-page']) writeReport(root, results, cases)
  }
} finally {
  for (const target of targets.reverse()) await target[Symbol.asyncDispose]()
  await endAll()
  await rm(directory, { recursive: true, force: true })
}

function failed(results: Results, name: string, target: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  results.failures.push({ case: name, target, reason })
  say(`${name}  ${target}: ${reason}`)
  process.exitCode = 1
}

/** Checks that a target still answers, because otherwise all later cases would fail. */
async function revive(target: Target, loadgen: string): Promise<void> {
  try {
    await target.restart(() => served(target, loadgen))
  } catch (error) {
    say(`${target.name} cannot be started again: ${String(error)}`)
  }
}

function text(figure: Figure): string {
  return `${figure.name} ${figure.value.toPrecision(4)} ${figure.unit}`
}

/** Waits until the load generator gets an SVID. */
async function served(target: Target, loadgen: string): Promise<void> {
  for (let left = 120; ; left--) {
    try {
      await promisify(execFile)(loadgen, ['payload', '-socket', target.socket], { timeout: 30_000 })
      return
    } catch (error) {
      if (left === 0) throw error
      await sleep(500)
    }
  }
}
