import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { AIMS, type Aim } from './aims.js'
import { SPIRE_VERSION } from './build.js'
import type { Case, Figure } from './cases.js'
import { machine } from './machine.js'

export interface Results {
  readonly repetitions: number
  /** In the order of the tables. */
  readonly targets: string[]
  readonly figures: Measured[]
  readonly failures: { readonly case: string; readonly target: string; readonly reason: string }[]
  /** How long each case took. */
  readonly seconds: Map<string, number>
}

export type Measured = Figure & { readonly case: string; readonly target: string; readonly repetition: number }

const OURS = 'icp-agent'
const SPIRE = 'SPIRE RSA'
/** Targets as shipped, with nothing left out. */
const isOurs = (target: string) => target === OURS || target === `${OURS}, sha256`
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

/** Replaces the figures in docs/benchmarks.md and draws a plot per case beside it. */
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
  const body = [BEGIN, '', heading(results), '', ...aimed(results), ...parts, ...failures(results)].join('\n')
  writeFileSync(page, `${text.slice(0, begin)}${body}\n${text.slice(end)}`)
}

function heading({ repetitions, seconds }: Results): string {
  const took = [...seconds.values()].reduce((sum, one) => sum + one, 0)
  return (
    `${machine()}, load average at the end ${loadavg()[0]?.toFixed(1)}; SPIRE ${SPIRE_VERSION}; at least ${repetitions} ` +
    `repetitions, in each of them one target after the other; ${Math.round(took / 60)} minutes. ` +
    'Each cell is a median with its range. A ratio is the median of the ratios of each repetition.'
  )
}

/** The aims, the measured figures, and why an aim is missed. */
function aimed(results: Results): string[] {
  const rows = AIMS.flatMap((aim) => {
    const value = reached(results, aim)
    if (value === null) return []
    const limit = aim.most ?? aim.least
    const off = aim.most === undefined ? aim.least - value : value - aim.most
    const sign = aim.most === undefined ? '≥' : '≤'
    const distance = off <= 0 ? 'reached' : `missed by ${short(off)} (${Math.round((100 * off) / limit)} %)`
    const of = aim.to === undefined ? aim.unit : `of ${aim.to}`
    return [`| ${aim.row} | ${sign} ${limit} ${of} | ${short(value)} | ${distance} | ${off <= 0 ? '' : aim.missed} |`]
  })
  if (rows.length === 0) return []
  return ['### Aims', '', '| figure | aim | measured | | cause of the miss |', '|---|---|---|---|---|', ...rows, '']
}

function reached({ figures }: Results, aim: Aim): number | null {
  const all = figures.filter((figure) => figure.case === aim.case && figure.name === aim.figure)
  const mine = all.filter(({ target }) => isOurs(target))
  const { to } = aim
  const values =
    to === undefined
      ? mine.map(({ value }) => value)
      : ratios(
          mine,
          all.filter(({ target }) => target.split(', sha256')[0] === to),
        )
  return values.length === 0 ? null : summary(values).median
}

/** Of those that have both. */
function ratios(mine: readonly Measured[], theirs: readonly Measured[]): number[] {
  return mine.flatMap(({ value, repetition }) => {
    const other = theirs.find((figure) => figure.repetition === repetition)
    return other === undefined || other.value === 0 ? [] : [value / other.value]
  })
}

function failures({ failures: all }: Results): string[] {
  if (all.length === 0) return []
  const counted = new Map<string, number>()
  for (const one of all) {
    const text = `${one.case}, ${one.target}: ${one.reason.replaceAll(/\s+/g, ' ').slice(0, 200)}`
    counted.set(text, (counted.get(text) ?? 0) + 1)
  }
  return [
    '### Failed',
    '',
    ...[...counted].map(([text, times]) => `- ${text}${times > 1 ? ` (${times} times)` : ''}`),
    '',
  ]
}

function section(root: string, results: Results, one: Case): string[] {
  const { figures } = results
  const own = figures.filter((figure) => figure.case === one.name)
  const targets = results.targets.filter((name) => own.some(({ target }) => target === name))
  const names = [...new Set(own.map(({ name }) => name))]
  if (names.length === 0) return []
  const of = (target: string, name: string) =>
    own.filter((figure) => figure.target === target && figure.name === name).map(({ value }) => value)
  const rows = names.flatMap((name) => {
    const [sample] = own.filter((figure) => figure.name === name)
    if (!sample || (sample.unit === 'failed' && own.every((f) => f.name !== name || f.value === 0))) return []
    const cells = targets.map((target) => (of(target, name).length > 0 ? ranged(summary(of(target, name))) : 'none'))
    return [`| ${name}, ${sample.unit} | ${cells.join(' | ')} | ${ratio(own, targets, name)} |`]
  })
  writeFileSync(join(root, 'docs/benchmarks', `${one.name}.svg`), plot(one, targets, names, of, own))
  return [
    `### ${one.name}: ${one.what}`,
    '',
    `${new Set(own.map(({ repetition }) => repetition)).size} repetitions in ${Math.round(results.seconds.get(one.name) ?? 0)} s.`,
    '',
    `| | ${targets.join(' | ')} | ratio to SPIRE RSA |`,
    `|---|${targets.map(() => '---').join('|')}|---|`,
    ...rows,
    '',
    `![${one.what}](benchmarks/${one.name}.svg)`,
    '',
  ]
}

type Values = (target: string, name: string) => readonly number[]

function ratio(own: readonly Measured[], targets: readonly string[], name: string): string {
  const mine = targets.find(isOurs)
  const theirs = targets.find((target) => target.startsWith(SPIRE))
  const of = (target: string | undefined) => own.filter((f) => f.target === target && f.name === name)
  const all = ratios(of(mine), of(theirs))
  return all.length > 0 ? ranged(summary(all)) : ''
}

const BAR = 22
const LEFT = 190
const WIDTH = 760

/** Horizontal bars, one block per figure, the range of the repetitions as a line; colours for light and dark pages. */
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
    const top = Math.max(...sums.map(({ most }) => (Number.isNaN(most) ? 0 : most)))
    if (!(top > 0)) continue
    blocks.push(`<text x="8" y="${y}" font-weight="bold">${name}, ${unit}</text>`)
    y += 10
    for (const [n, target] of targets.entries()) {
      const { median, least, most } = sums[n] ?? summary([])
      if (Number.isNaN(median)) continue
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
