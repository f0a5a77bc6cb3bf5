import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { SPIRE_VERSION } from './build.js'
import type { Case, Figure } from './cases.js'

export interface Results {
  readonly repetitions: number
  readonly figures: (Figure & { readonly case: string; readonly target: string; readonly repetition: number })[]
}

const OURS = 'icp-agent'
const SPIRE = 'SPIRE RSA'
const PAGE = 'docs/benchmarks.md'
const BEGIN = '<!-- figures: written by the benchmark -->'
const END = '<!-- end of figures -->'

interface Summary {
  readonly median: number
  readonly least: number
  readonly most: number
}

function summary(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
  return { median, least: sorted[0] ?? Number.NaN, most: sorted.at(-1) ?? Number.NaN }
}

const short = (value: number) => (value >= 1000 ? String(Math.round(value)) : String(Number(value.toPrecision(3))))
const ranged = ({ median, least, most }: Summary) => `${short(median)} (${short(least)} to ${short(most)})`

/** Replaces the figures in docs/benchmarks.md and draws a plot a case, beside it. */
export function writeReport(root: string, results: Results, cases: readonly Case[]): void {
  const page = join(root, PAGE)
  const text = readFileSync(page, 'utf8')
  mkdirSync(join(root, 'docs/benchmarks'), { recursive: true })
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has no place for figures: ${BEGIN} … ${END}`)
  const parts = cases.flatMap((one) => section(root, results, one))
  const medians = [...new Set(results.figures.map((f) => JSON.stringify([f.case, f.target, f.name, f.unit])))].map(
    (key) => {
      const [name, target, figure, unit] = JSON.parse(key) as string[]
      const own = results.figures.filter((f) => f.case === name && f.target === target && f.name === figure)
      return { case: name, target, name: figure, unit, ...summary(own.map(({ value }) => value)) }
    },
  )
  writeFileSync(join(root, 'docs/benchmarks/figures.json'), `${JSON.stringify(medians, null, 1)}\n`)
  const body = [BEGIN, '', machine(results), '', ...parts].join('\n')
  writeFileSync(page, `${text.slice(0, begin)}${body}\n${text.slice(end)}`)
}

function machine({ repetitions }: Results): string {
  const [first] = cpus()
  return (
    `${new Date().toISOString().slice(0, 10)}, Linux ${release()}, ${cpus().length} cores (${first?.model.trim() ?? 'unknown'}), ` +
    `${Math.round(totalmem() / 2 ** 30)} GiB; SPIRE ${SPIRE_VERSION}; ${repetitions} repetitions, targets in turn. ` +
    'Each cell is a median with its range; a ratio is the median of the ratios pair by pair.'
  )
}

function section(root: string, { figures }: Results, one: Case): string[] {
  const own = figures.filter((figure) => figure.case === one.name)
  const targets = [...new Set(own.map(({ target }) => target))]
  const names = [...new Set(own.map(({ name }) => name))]
  if (names.length === 0) return []
  const of = (target: string, name: string) =>
    own.filter((figure) => figure.target === target && figure.name === name).map(({ value }) => value)
  const rows = names.flatMap((name) => {
    const [sample] = own.filter((figure) => figure.name === name)
    if (!sample || (sample.unit === 'failed' && own.every((f) => f.name !== name || f.value === 0))) return []
    const cells = targets.map((target) => ranged(summary(of(target, name))))
    return [`| ${name}, ${sample.unit} | ${cells.join(' | ')} | ${ratio(of, targets, name)} |`]
  })
  writeFileSync(join(root, 'docs/benchmarks', `${one.name}.svg`), plot(one, targets, names, of, own))
  return [
    `### ${one.name}: ${one.what}`,
    '',
    `| | ${targets.join(' | ')} | ours to SPIRE RSA |`,
    `|---|${targets.map(() => '---').join('|')}|---|`,
    ...rows,
    '',
    `![${one.what}](benchmarks/${one.name}.svg)`,
    '',
  ]
}

type Values = (target: string, name: string) => readonly number[]

function ratio(of: Values, targets: readonly string[], name: string): string {
  const mine = targets.find((target) => target.startsWith(OURS))
  const theirs = targets.find((target) => target.startsWith(SPIRE))
  if (mine === undefined || theirs === undefined) return ''
  const others = of(theirs, name)
  const ratios = of(mine, name).map((value, n) => value / (others[n] ?? Number.NaN))
  return ratios.every(Number.isFinite) ? ranged(summary(ratios)) : ''
}

const BAR = 22
const LEFT = 190
const WIDTH = 760

/** Horizontal bars, a block a figure, the range of the repetitions as a line; colours that show on light and dark. */
function plot(
  one: Case,
  targets: readonly string[],
  names: readonly string[],
  of: Values,
  own: Results['figures'],
): string {
  const blocks: string[] = []
  let y = 34
  for (const name of names) {
    const unit = own.find((figure) => figure.name === name)?.unit ?? ''
    const sums = targets.map((target) => summary(of(target, name)))
    const top = Math.max(...sums.map(({ most }) => most))
    if (!(top > 0)) continue
    blocks.push(`<text x="8" y="${y}" font-weight="bold">${name}, ${unit}</text>`)
    y += 10
    for (const [n, target] of targets.entries()) {
      const { median, least, most } = sums[n] ?? summary([])
      const x = (value: number) => (LEFT + ((WIDTH - LEFT - 110) * value) / top).toFixed(1)
      const colour = target.startsWith(OURS) ? '#2f81f7' : target.startsWith('SPIRE') ? '#d29922' : '#8b949e'
      const middle = y + BAR / 2
      blocks.push(
        `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${target}</text>`,
        `<rect x="${LEFT}" y="${y + 3}" width="${(Number(x(median)) - LEFT).toFixed(1)}" height="${BAR - 6}" fill="${colour}"/>`,
        `<line x1="${x(least)}" x2="${x(most)}" y1="${middle}" y2="${middle}" stroke="#6e7681" stroke-width="2"/>`,
        `<text x="${Number(x(most)) + 6}" y="${middle + 4}">${short(median)}</text>`,
      )
      y += BAR
    }
    y += 28
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" font-family="sans-serif" font-size="12" fill="#6e7681">`,
    `<title>${one.name}: ${one.what}</title>`,
    ...blocks,
    '</svg>',
    '',
  ].join('\n')
}
