import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../../agent/config/duration.js'
import { expand } from '../../agent/config/placeholders.js'
import type { Problem } from '../../agent/config/problem.js'
import { SETTING_KEYS } from '../../agent/config/schema.js'
import { formatSize, parseSize } from '../../agent/config/size.js'
import { parseYamlFile } from '../../agent/config/yaml-file.js'
import type { AgentError } from '../../agent/errors.js'
import { detailsOf } from '../support/details.js'
import { load, TENANT } from '../unit/config/given.js'
import { always, alwaysAsync } from './fuzz.js'
import { mutated, mutatedText, mutations } from './mutations.js'

/** What begins a placeholder; written apart, for it is not one here. */
const DOLLAR = '$'
const EXAMPLE = readFileSync('deploy/config.example.yaml', 'utf8')
const piece = fc.constantFrom(
  ...[
    'agent:',
    '\n',
    '\n  ',
    '\n    ',
    'tenant_id: ',
    '- ',
    '"',
    "'",
    '${',
    '}',
    ':-',
    '&a ',
    '*a',
    '<<: ',
    '!!binary ',
  ],
  ...[
    '|',
    '>',
    '#',
    '%YAML 1.2',
    '---',
    '...',
    '[',
    ']',
    '{',
    '}',
    ',',
    ': ',
    '?',
    '\t',
    '\\',
    '\u0000',
    '\ufeff',
    '0x1',
  ],
)
const yamlish = fc.array(fc.oneof(piece, fc.string({ maxLength: 6 })), { maxLength: 40 }).map((parts) => parts.join(''))

/** Every problem says where and what, and none repeats more than a piece of what it found. */
function areGood(problems: readonly Problem[]): void {
  for (const { key, source, problem, remedy } of problems) {
    for (const text of [key, source, problem, remedy]) expect(text).toBeTypeOf('string')
    expect(problem.length).toBeLessThan(1_000)
  }
}

describe('any file', () => {
  test('is a tree or a list of problems', () => {
    const files = fc.oneof(
      yamlish.map((text) => Buffer.from(text)),
      mutations.map((changes) => mutated(Buffer.from(EXAMPLE), changes)),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    )
    always(2_000, files, (content) => {
      const { problems, tree } = parseYamlFile(content, 'c.yaml', { HOME: '/root' })
      areGood(problems)
      expect(tree.kind).toBe('section')
    })
  })

  test('takes bounded time', () => {
    const bombs = [
      `a: &a [${'x,'.repeat(30)}]\n${Array.from({ length: 20 }, (_, i) => `b${i}: [*a,*a,*a,*a]`).join('\n')}`,
      '['.repeat(100_000),
      '{'.repeat(50_000),
      `"${'\\x'.repeat(100_000)}"`,
      'a: '.repeat(100_000),
      '- '.repeat(200_000),
      `${'a'.repeat(500_000)}: 1`,
      '? '.repeat(100_000),
      '\n'.repeat(900_000),
      '!'.repeat(300_000),
    ]
    for (const bomb of bombs) {
      areGood(parseYamlFile(Buffer.from(bomb), 'c.yaml', {}).problems)
    }
  })
})

describe('any configuration', () => {
  const value = fc.oneof(
    fc.constantFrom(
      '',
      '0',
      '-1',
      'true',
      '6h',
      '1e9',
      '/',
      '/a',
      'unix:///a',
      'https://h',
      'http://h',
      `${DOLLAR}{X}`,
      `${DOLLAR}{X:-`,
    ),
    fc.string({ maxLength: 20 }),
    yamlish,
  )
  const variable = fc.constantFrom(...SETTING_KEYS).map((key) => `ICP_AGENT_${key.replaceAll('.', '__').toUpperCase()}`)
  const environment = fc.dictionary(fc.oneof(variable, fc.constant('X'), fc.constant('ICP_AGENT_AGENT')), value, {
    maxKeys: 4,
  })
  const file = fc.oneof(
    yamlish,
    mutations.map((changes) => mutatedText(EXAMPLE, changes)),
    fc.tuple(fc.constantFrom(...SETTING_KEYS), value).map(([key, one]) => {
      const names = key.split('.')
      const nested = names.map((name, i) => `${'  '.repeat(i)}${name}:`).join('\n')
      return `${nested} ${one}`
    }),
  )

  test('is loaded, or refused with every problem', async () => {
    let loaded = 0
    await alwaysAsync(1_000, fc.tuple(file, environment), async ([text, env]) => {
      try {
        const { config } = await load({ file: text, env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, ...env } })
        loaded++
        expect(config.agent.tenantId).toMatch(/^[0-9a-f-]{36}$/)
        expect(config.agent.nodeId).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*$/)
        for (const path of [config.agent.dataDir, config.agent.socketPath, config.security.cachePath]) {
          expect(path).toMatch(/^\//)
        }
        expect(config.icpService.address).toMatch(/^https?:\/\//)
        expect(config.sync.maxIntervalMs).toBeGreaterThanOrEqual(config.sync.intervalMs)
      } catch (error) {
        expect(error).toMatchObject({ code: 'config.invalid' })
        const problems = detailsOf(error as AgentError)['problems'] as readonly Problem[]
        expect(problems.length).toBeGreaterThan(0)
        areGood(problems)
      }
    })
    expect(loaded).toBeGreaterThan(50)
  })
})

describe('any text', () => {
  const texts = fc.string({ unit: fc.constantFrom(DOLLAR, `${DOLLAR}{`, ...'}:-AXab '), maxLength: 40 })
  const env = { A: 'value', X: '', AX: `${DOLLAR}{A}` }

  test('is expanded or malformed', () => {
    always(10_000, texts, (text) => {
      const { text: result, malformed, unresolved } = expand(text, env)
      if (!text.includes('$')) expect(result).toBe(text)
      if (malformed !== null) expect(result).toBe('')
      for (const name of unresolved) expect(Object.keys(env)).not.toContain(name)
    })
  })

  test('is a duration or a size only if it comes back as one', () => {
    const near = fc.string({ unit: fc.constantFrom(...'0123456789.msdhKiMGB -+e'), maxLength: 14 })
    always(10_000, fc.oneof(near, fc.string()), (text) => {
      const ms = parseDuration(text)
      if (ms !== null) expect(parseDuration(formatDuration(ms))).toBe(ms)
      const bytes = parseSize(text)
      if (bytes !== null) expect(parseSize(formatSize(bytes))).toBe(bytes)
      for (const number of [ms, bytes]) if (number !== null) expect(Number.isSafeInteger(number)).toBe(true)
    })
  })
})
