import { describe, expect, test } from 'vitest'
import { COMMANDS, type CommandName } from '../../../agent/main/command-table.js'
import { icpAgent } from '../../support/terminal.js'

const names = COMMANDS.map(({ name }) => name)

test('every command that is listed can be loaded, and its help names it', async () => {
  expect(new Set(names).size).toBe(names.length)
  for (const { name, load } of COMMANDS) {
    const { help } = await load()
    expect(help).toMatch(new RegExp(`^Usage: icp-agent \\[?${name}\\b`))
  }
})

describe('--help of every command tells usage, options and an example that names it', () => {
  test.each(names)('%s', async (name) => {
    const { code, stdout, stderr } = await icpAgent([...name.split(' '), '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^Usage: icp-agent /)
    expect(stdout).toMatch(/\nExample:\n(?: {2}.+\n)+$/)
    expect(exampleOf(stdout)).toContain(name === 'run' ? 'icp-agent' : `icp-agent ${name}`)
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
  })
  test('help COMMAND is the same', async () => {
    const asked = await icpAgent(['help', 'api', 'fetch', 'x509'])
    expect(asked).toEqual(await icpAgent(['api', 'fetch', 'x509', '-h']))
  })
})

function exampleOf(help: string): string {
  return help.split('\nExample:\n')[1] ?? ''
}

test('help lists every command with its summary', async () => {
  for (const args of [['help'], ['--help'], ['-h']]) {
    const { code, stdout } = await icpAgent(args)
    expect(code).toBe(0)
    for (const { name, summary } of COMMANDS) expect(stdout).toMatch(new RegExp(`${name} +${escaped(summary)}`))
  }
})

function escaped(text: string): string {
  return text.replace(/[.()]/g, '\\$&')
}

test('a group alone lists its commands, as a mistake; asked for help, as an answer', async () => {
  const alone = await icpAgent(['api'])
  expect([alone.code, alone.stdout]).toEqual([2, ''])
  expect(alone.stderr).toContain('api fetch x509')
  expect(alone.stderr).not.toContain('healthcheck')
  const asked = await icpAgent(['api', 'watch', '--help'])
  expect([asked.code, asked.stderr]).toEqual([0, ''])
  expect(asked.stdout).toContain('api watch x509')
  expect(asked.stdout).not.toContain('api fetch x509')
})

test('a command that others begin with leaves them their words, and keeps its own arguments', async () => {
  const group = await icpAgent(['dev-icp', 'entry'])
  expect([group.code, group.stdout]).toEqual([2, ''])
  expect(group.stderr).toContain('dev-icp entry create')
  expect((await icpAgent(['dev-icp', 'entry', '--help'])).stdout).toContain('dev-icp entry list')
  expect((await icpAgent(['dev-icp', '--listen', 'entry'])).stderr).toContain('--data DIR is needed')
})

describe('a command that there is not names the nearest', () => {
  test.each<[string[], CommandName]>([
    [['valdate'], 'validate'],
    [['health'], 'healthcheck'],
    [['entry', 'create', '-spiffeID', 'spiffe://x/y'], 'dev-icp entry create'],
    [['fetch', 'jwt'], 'api fetch jwt'],
    [['fetch'], 'api fetch x509'],
    [['health-check'], 'healthcheck'],
    [['Version'], 'version'],
    [['api', 'fetch', 'x508'], 'api fetch x509'],
    [['api', 'wtach', 'x509'], 'api watch x509'],
    [['devicp', '--data', 'x'], 'dev-icp'],
  ])('%s', async (args, nearest) => {
    const { code, stdout, stderr } = await icpAgent(args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('[command.misused]')
    expect(stderr).toContain(`\`icp-agent ${nearest}\``)
  })
  test('and where none is near, where the list is', async () => {
    const { code, stderr } = await icpAgent(['config.yaml'])
    expect(code).toBe(2)
    expect(stderr).toContain('`icp-agent help`')
  })
})

test('an unknown command cannot draw on the terminal', async () => {
  const { stderr } = await icpAgent(['\u001b[2Jx\nroot#'])
  expect(stderr).not.toContain('\u001b')
  // The message, what to do, and the empty end.
  expect(stderr.split('\n')).toHaveLength(3)
})

test('version tells the version of package.json, also as JSON and as an option', async () => {
  const { default: manifest } = await import('../../../package.json', { with: { type: 'json' } })
  const json = await icpAgent(['version', '-o', 'json'])
  expect(JSON.parse(json.stdout)).toMatchObject({ version: manifest.version, node: process.version })
  for (const args of [['version'], ['--version'], ['-v']]) {
    expect((await icpAgent(args)).stdout).toContain(`icp-agent ${manifest.version} `)
  }
})

test('options alone run the agent, which says what is wrong with its configuration', async () => {
  for (const args of [['-c', '/nowhere.yaml'], ['--config=/nowhere.yaml'], ['run', '--config', '/nowhere.yaml']]) {
    const { code, stderr } = await icpAgent(args)
    expect(code).toBe(2)
    expect(stderr).toContain('[config.invalid]')
    expect(stderr).toContain('agent.tenant_id')
  }
})

test('a stack is shown only with ICP_DEBUG', async () => {
  const args = ['api', 'fetch', 'x509', '--socket', 'nonsense']
  const calm = await icpAgent(args)
  expect(calm.stderr).toContain('[client.address_invalid]')
  expect(calm.stderr).not.toMatch(/\n\s+at /)
  expect((await icpAgent(args, { env: { ICP_DEBUG: '1' } })).stderr).toMatch(/\n\s+at /)
})

test('errors are coloured on a terminal, and never with NO_COLOR', async () => {
  expect((await icpAgent(['nonsense'], { isTTY: true })).stderr).toContain('\u001b[31m')
  expect((await icpAgent(['nonsense'], { isTTY: true, env: { NO_COLOR: '1' } })).stderr).not.toContain('\u001b')
  expect((await icpAgent(['nonsense'])).stderr).not.toContain('\u001b')
})
