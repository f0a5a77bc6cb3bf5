import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CHECKLIST } from './checklist.js'

const page = readFileSync('docs/conformance.md', 'utf8')
const ids = Object.keys(CHECKLIST)

/** Ids of the lines that the tests register, one for each registration. */
const tested = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.test.ts'))
  .flatMap((name) => [
    ...readFileSync(`${import.meta.dirname}/${name}`, 'utf8').matchAll(/\bline(?:\.\w+)?\('([^']+)'/g),
  ])
  .map(([, id = '']) => id)

/** Ids in the tables of a section of the page. */
function listed(heading: string): string[] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0]
  if (section === undefined) throw new Error(`docs/conformance.md has no section ${heading}`)
  return [...section.matchAll(/^\| `([A-Z]+-\d\d)` \|/gm)].map(([, id = '']) => id)
}

test('every line of the checklist has exactly one test, or stands in the list of those that are not met', () => {
  const missing = ids.filter((id) => !tested.includes(id) && !listed('Not met').includes(id))
  const twice = tested.filter((id, i) => tested.indexOf(id) !== i)
  expect({ missing, twice }).toEqual({ missing: [], twice: [] })
})

test('no line is both tested and called not met, and every line that the page names is one', () => {
  expect(listed('Not met').filter((id) => tested.includes(id))).toEqual([])
  for (const id of [...listed('Not met'), ...listed('Met with a reservation')]) expect(ids).toContain(id)
})

test('lines are numbered without a gap, so that one that is lost is seen', () => {
  for (const section of new Set(ids.map((id) => id.split('-')[0]))) {
    const numbers = ids.filter((id) => id.startsWith(`${section}-`)).map((id) => Number(id.split('-')[1]))
    expect(numbers, section).toEqual(numbers.map((_, i) => i + 1))
  }
})

test('each sentence says something else, and is a sentence', () => {
  const sentences = Object.values(CHECKLIST).map(({ sentence }) => sentence)
  expect(new Set(sentences).size).toBe(sentences.length)
  for (const sentence of sentences) expect(sentence).toMatch(/^[a-zA-Z].{15,}[^.]$/)
})
