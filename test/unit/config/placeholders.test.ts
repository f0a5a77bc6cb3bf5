import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expand } from '../../../agent/config/placeholders.js'

fc.configureGlobal({ seed: 1 })

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: placeholders are what is tested
const ENV = { A: 'alpha', EMPTY: '', NODE_NAME: 'n1', TRICKY: '${A}', _x9: 'y' }

describe('placeholders', () => {
  test.each([
    ['${A}', 'alpha'],
    ['x-${A}-${NODE_NAME}-y', 'x-alpha-n1-y'],
    ['${A:-other}', 'alpha'],
    ['${EMPTY}', ''],
    ['${EMPTY:-other}', 'other'],
    ['${NONE:-other}', 'other'],
    ['${NONE:-}', ''],
    ['${NONE:-a:-b}', 'a:-b'],
    ['${NONE:-https://h:1/p?q}', 'https://h:1/p?q'],
    ['${NONE:-${A}}', 'alpha'],
    ['${NONE:-${NADA:-${A}-x}-y}', 'alpha-x-y'],
    ['${A:-${NONE}}', 'alpha'],
    ['${_x9}', 'y'],
    ['$${A}', '${A}'],
    ['$A $ $$ $1 a$', '$A $ $$ $1 a$'],
    ['{A} }', '{A} }'],
    ['', ''],
  ])('%s becomes %j', (text, expected) => {
    expect(expand(text, ENV)).toMatchObject({ text: expected, unresolved: [], malformed: null })
  })

  test('what a variable holds is not expanded again', () => {
    expect(expand('${TRICKY}', ENV).text).toBe('${A}')
  })

  test('each variable without value and default is named once, one that a default covers is not', () => {
    expect(expand('${X}${Y}${X}${Z:-1}${A}', ENV).unresolved).toEqual(['X', 'Y'])
    expect(expand('${NONE:-${X}}', ENV).unresolved).toEqual(['X'])
  })

  test('the variables that made the text are known', () => {
    expect(expand('${A}${NONE:-${EMPTY}}', ENV).variables).toEqual(['A', 'NONE', 'EMPTY'])
    expect(expand('${A:-${EMPTY}}', ENV).variables).toEqual(['A'])
  })

  test.each(['${', '${}', '${A', '${1A}', '${A-b}', '${A:?b}', '${A:-b', '${ A }', '${A:-${B}', '${a-b}', '${ä}'])(
    '%s is malformed',
    (text) => {
      expect(expand(text, ENV).malformed).not.toBeNull()
    },
  )

  test('nesting is bounded, and so is the length', () => {
    const nested = (depth: number) => `${'${N:-'.repeat(depth)}x${'}'.repeat(depth)}`
    expect(expand(nested(8), {})).toMatchObject({ text: 'x', malformed: null })
    expect(expand(nested(9), {}).malformed).not.toBeNull()
    expect(expand(nested(50_000), {}).malformed).not.toBeNull()
    expect(expand('${B}'.repeat(10), { B: 'x'.repeat(10_000) }).malformed).not.toBeNull()
  })

  test('a name of an object property is a variable like any other', () => {
    expect(expand('${constructor}', {})).toMatchObject({ text: '', unresolved: ['constructor'] })
    expect(expand('${constructor:-no}', Object.create(null) as Record<string, string>).text).toBe('no')
  })

  test('a text without a dollar sign stays what it is, and no text makes it throw', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('$')),
        (text) => expand(text, ENV).text === text,
      ),
    )
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('$', '{', '}', ':-', 'A', 'NONE', ' ', '$$', '${A}', '${'), { maxLength: 30 }),
        (pieces) => {
          const { malformed, text } = expand(pieces.join(''), ENV)
          return malformed !== null ? text === '' : typeof text === 'string'
        },
      ),
    )
  })

  test('it means what it means to a shell', () => {
    const value = fc.constantFrom('', 'v', 'a b', '/x/y', 'ö')
    const name = fc.constantFrom('SET', 'EMPTY', 'UNSET')
    const text = fc.letrec<{ text: string; piece: string }>((tie) => ({
      piece: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom('a', '-', ':', '/', ' ', 'ö'),
        name.map((n) => `\${${n}:-}`),
        fc.tuple(name, tie('text')).map(([n, fallback]) => `\${${n}:-${fallback}}`),
        fc.constantFrom('${SET}', '${EMPTY}'),
      ),
      text: fc.array(tie('piece'), { maxLength: 4 }).map((pieces) => pieces.join('')),
    })).text
    const cases = fc.sample(fc.tuple(text, value), { numRuns: 60, seed: 7 })
    // One shell for all: each text is printed within double quotes, where nothing but ${…} has a meaning here.
    const script = cases.map(([source], i) => `SET=$V${i}; printf '%s\\0' "${source}"`).join('\n')
    const variables = Object.fromEntries(cases.map(([, v], i) => [`V${i}`, v]))
    const shell = execFileSync('sh', ['-c', `EMPTY=; unset UNSET\n${script}`], { env: variables, encoding: 'utf8' })
    const ours = cases.map(([source, SET]) => expand(source, { SET, EMPTY: '' }))
    expect(ours.map((result) => result.text)).toEqual(shell.split('\0').slice(0, -1))
    expect(ours.every((result) => result.malformed === null)).toBe(true)
  })
})
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: placeholders are what is tested
