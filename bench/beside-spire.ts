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
import { floor, ours, ownDirectory, spire, type Target } from './beside-spire/targets.js'

/**
 * This agent beside SPIRE's and beside bare gRPC servers, on one load generator. Targets take turns within each
 * repetition, so that what disturbs the machine disturbs all of them.
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

/** The Node of images and single executables: what the floors run on. */
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

  const wanted = new Set(cases.map((one) => (one.sha256 ? 'sha256' : one.targets)))
  if (wanted.has('all') || wanted.has('agents')) {
    if (isChosen('icp-agent')) targets.push(await ours(await at('ours'), executable))
    if (isChosen('SPIRE RSA')) targets.push(await spire(await at('rsa'), programs, { keyType: 'rsa-2048' }))
    if (isChosen('SPIRE EC')) targets.push(await spire(await at('ec'), programs, { keyType: 'ec-p256' }))
  }
  if (wanted.has('all') && isChosen('floor')) {
    await ownDirectory(join(directory, 'floors'))
    const socket = (name: string) => join(directory, 'floors', name)
    targets.push(await floor('floor: grpc-js', socket('js'), node, [floorJs, socket('js'), '3106']))
    targets.push(
      await floor('floor: grpc-js, one look', socket('look'), node, [floorJs, socket('look'), '3106', 'check']),
    )
    targets.push(await floor('floor: grpc-go', socket('go'), programs.loadgen, ['floor', '-socket', socket('go')]))
  }
  if (wanted.has('sha256')) {
    targets.push(await ours(await at('ours-sha'), executable, { sha256: true }))
    targets.push(await spire(await at('rsa-sha'), programs, { keyType: 'rsa-2048', sha256: true }))
  }
  let entries = 0
  const bench: Bench = {
    loadgen,
    quick: values.quick,
    fresh: () => `push-${entries++}`,
    random: Math.random,
    selector: (target) => (target.name.includes('sha256') ? `unix:sha256:${sha256}` : `unix:path:${loadgen}`),
  }
  for (const target of targets) {
    await target.register?.('workload', bench.selector(target))
    await served(target, loadgen)
    say(`${target.name}: serves`)
  }

  const results: Results = { repetitions, figures: [] }
  for (const one of cases) {
    for (let n = 0; n < repetitions; n++) {
      for (const target of targets) {
        if (Boolean(one.sha256) !== target.name.includes('sha256')) continue
        if (one.targets === 'agents' && target.register === null) continue
        const figures = await one.run(target, bench).catch((error: unknown) => {
          // The rest is worth having all the same; the table then has no figure there.
          say(`${one.name}  ${target.name}: ${String(error)}`)
          process.exitCode = 1
          return []
        })
        for (const figure of figures)
          results.figures.push({ case: one.name, target: target.name, repetition: n, ...figure })
        say(`${one.name} ${n + 1}/${repetitions}  ${target.name.padEnd(26)} ${figures.map(text).join('  ')}`)
      }
    }
  }
  if (!values['no-page']) writeReport(root, results, cases)
} finally {
  for (const target of targets.reverse()) await target[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
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
