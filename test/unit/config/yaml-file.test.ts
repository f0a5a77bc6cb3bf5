import { describe, expect, test } from 'vitest'
import type { TreeNode } from '../../../agent/config/tree.js'
import { parseYamlFile } from '../../../agent/config/yaml-file.js'

const parse = (text: string | Buffer, env = {}) => parseYamlFile(Buffer.from(text), 'c.yaml', env)

/** The tree as plain data: texts with their lines. */
function plain(node: TreeNode): unknown {
  if (node.kind === 'leaf') return `${node.text} @${node.source.split(':')[1]}`
  if (node.kind === 'list') return node.items.map(plain)
  return Object.fromEntries([...node.entries].map(([key, value]) => [key, plain(value)]))
}

describe('a configuration file', () => {
  test('every value is text with its line', () => {
    const { tree, problems } = parse(`# comment
agent:
  node_id: 007
  tenant_id: "x"

health: { port: 8080, enabled: true }
list:
  - a
  - 'b'
block: |
  text
`)
    expect(problems).toEqual([])
    expect(plain(tree)).toEqual({
      agent: { node_id: '007 @3', tenant_id: 'x @4' },
      health: { port: '8080 @6', enabled: 'true @6' },
      list: ['a @8', 'b @9'],
      block: 'text @10',
    })
  })

  test('nothing, null and ~ are nothing, within quotes they are text', () => {
    expect(plain(parse('a:\nb: ~\nc: null\nd: "null"\ne: ""').tree)).toEqual({
      a: ' @1',
      b: ' @2',
      c: ' @3',
      d: 'null @4',
      e: ' @5',
    })
  })

  test.each(['', '# only a comment\n', '---\n', '\ufeff', '{}'])('%j is an empty configuration', (text) => {
    expect(parse(text)).toMatchObject({ problems: [], complete: true })
    expect(parse(text).tree.entries.size).toBe(0)
  })

  test('anchors and aliases are followed, an alias means the latest anchor before it', () => {
    const { tree, problems } = parse('a: &x 1\nb: *x\nc: &x 2\nd: *x\ne: &m {f: 3}\ng: *m\n')
    expect(problems).toEqual([])
    expect(plain(tree)).toEqual({ a: '1 @1', b: '1 @1', c: '2 @3', d: '2 @3', e: { f: '3 @5' }, g: { f: '3 @5' } })
  })

  test('every escape of YAML is understood', () => {
    const escapes = '\\0\\a\\b\\t\\n\\v\\f\\r\\e\\ \\"\\/\\\\\\N\\_\\L\\P\\x41\\u00e4\\U0001f600'
    const { tree, problems } = parse(`a: "x${escapes}x\\\n  y"`)
    expect(parse('a: "C:\\\\q\\\\\\\\"')).toMatchObject({ problems: [] })
    expect(problems).toEqual([])
    expect(plain(tree)).toEqual({ a: 'x\0\x07\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029Aä😀xy @1' })
  })

  test('line ends of Windows and a byte order mark do not matter', () => {
    expect(plain(parse('\ufeffa: 1\r\nb: 2\r\n').tree)).toEqual({ a: '1 @1', b: '2 @2' })
  })
})

describe('a broken file', () => {
  const sources = (text: string | Buffer) => parse(text).problems.map(({ key, source }) => `${key} ${source}`)

  test.each([
    ['a tab as indentation', 'agent:\n\ttenant_id: x\n', ['(file) c.yaml:2']],
    ['a second document', 'a: 1\n---\nb: 2\n', ['(file) c.yaml:2']],
    ['a text at the top', 'just text\n', ['(file) c.yaml:1']],
    ['a list at the top', '- a\n- b\n', ['(file) c.yaml:1']],
    ['an undefined alias', 'a: *nothing\n', ['a c.yaml:1']],
    ['a merge key', 'x: &x {p: 1}\nb:\n  <<: *x\n', ['b.<< c.yaml:3']],
    ['a duplicate section', 'agent: {a: 1}\nhealth: {}\nagent: {b: 1}\n', ['agent c.yaml:3']],
    ['a duplicate key', 'agent:\n  node_id: a\n  node_id: b\n', ['agent.node_id c.yaml:3']],
    ['a key that is a list', '? [a, b]\n: c\n', ['(file) c.yaml:1']],
    ['an unknown escape', 'x: 1\na: "C:\\temp\\q"\n', ['(file) c.yaml:2']],
    ['an alias within itself', 'a: &a\n  b: *a\n', [expect.stringContaining('a.b')]],
  ])('%s is a problem with its line', (_name, text, expected) => {
    expect(sources(text)).toEqual(expected)
  })

  test.each([
    ['an open quote', 'a: "x\n'],
    ['an open bracket', 'a: [1, 2\n'],
    ['a colon too many', 'a: b: c\n'],
    ['bad indentation', 'a:\n    b: 1\n  c: 2\n'],
    ['not UTF-8', Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe])],
    ['UTF-16', Buffer.from('\ufeffa: 1', 'utf16le')],
    ['NUL', Buffer.from('a: \0')],
    ['a reserved character', 'a: @b\n'],
  ])('%s is a problem', (_name, text) => {
    const { problems, complete } = parse(text)
    expect(problems.length).toBeGreaterThan(0)
    expect(complete).toBe(false)
  })

  test.each([
    ['# SPIRE\n\nagent {\n  data_dir = "/x"\n}\n', 3, "is HCL, as SPIRE's configuration is, not YAML"],
    [
      'plugins {\n  NodeAttestor "join_token" {\n    plugin_data {}\n  }\n}\n',
      1,
      "is HCL, as SPIRE's configuration is, not YAML",
    ],
    ['// SPIRE\nNodeAttestor "join_token" {}\n', 2, "is HCL, as SPIRE's configuration is, not YAML"],
    ['[agent]\ntenant_id = "x"\n', 1, 'is TOML or INI, not YAML'],
    ['TENANT_ID=x\nNODE_ID=y\n', 1, 'is a list of NAME=value, not YAML'],
    ['agent.node_id = "x: y"\n', 1, 'is a list of NAME=value, not YAML'],
  ])('%j is told from YAML that is wrong', (text, line, problem) => {
    const { problems, complete } = parse(text)
    expect(problems).toMatchObject([{ key: '(file)', source: `c.yaml:${line}`, problem }])
    expect(complete).toBe(false)
  })

  test('a text that is no mapping is one problem: nothing in it can be called missing', () => {
    expect(parse('agent\n')).toMatchObject({ problems: [{ key: '(file)', source: 'c.yaml:1' }], complete: false })
  })

  test('no problem quotes the file, which may hold a secret', () => {
    for (const text of [
      'join_token: s3cret: x',
      'a: [s3cret',
      '"s3cret',
      'a: "\\s3cret"',
      '\ts3cret',
      'a: b s3cret: c',
      '}s3cret',
    ]) {
      expect(JSON.stringify(parse(text).problems)).not.toContain('s3cret')
    }
  })
})

describe('a hostile file', () => {
  const MIB = 1024 * 1024
  const repeat = (text: string, bytes = MIB) => text.repeat(Math.floor(bytes / text.length))
  const lines = (count: number, line: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => line(i)).join('\n')

  test('depth is refused before the parser recurses into it', () => {
    expect(parse('['.repeat(200)).problems).toMatchObject([{ source: 'c.yaml' }])
    expect(parse('[[[[1]]]]').problems).toMatchObject([{ source: 'c.yaml:1' }])
  })

  test('a few lines that stand for billions of values are refused', () => {
    const bomb = `a0: &a0 [${'x, '.repeat(9)}x]\n${lines(12, (i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(9)}*a${i}]`)}`
    expect(parse(bomb).problems.length).toBeGreaterThan(0)
  })

  test.each([
    ['brackets', repeat('[')],
    ['dashes', repeat('- ')],
    ['question marks', repeat('? ')],
    ['colons', repeat('a: ')],
    ['closing brackets', repeat('}')],
    ['quotes', repeat('"')],
    ['directives', repeat('%x\n')],
    ['deep sections', lines(1400, (i) => `${' '.repeat(i)}a:`)],
    ['keys', lines(90_000, (i) => `k${i}: 1`)],
    ['escapes', `a: "${repeat('\\q')}"`],
    ['broken lines in quotes', `a: '${repeat('x  \n')}'`],
    ['anchors', lines(60_000, (i) => `- &a${i} x`)],
    ['placeholders', `a: "${repeat('${A:-', 500_000)}"`],
    ['documents', repeat('---\n')],
    ['escapes within the limit', `a: "${repeat('\\q', 190_000)}"`],
    ['errors within the limit', repeat('}', 20_000)],
  ])('a mebibyte of %s ends in a problem, soon', (_name, text) => {
    const before = process.cpuUsage()
    const { problems, tree } = parse(text)
    const unusable = [...tree.entries.values()].some((node) => node.kind === 'leaf' && node.malformed !== null)
    expect(problems.length > 0 || unusable).toBe(true)
    // Most take milliseconds; the bound only tells linear from quadratic. Time that others have is not counted.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(5000)
  })
})
