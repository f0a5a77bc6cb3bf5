import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const TENANT = '123e4567-e89b-42d3-a456-426614174000'
const SHELLS = [['dash'], ['busybox', 'sh'], ['bash', '--posix']].filter(
  ([program = '']) => spawnSync(program, ['-c', ':']).error === undefined,
)

describe.each(SHELLS.map((shell) => [shell.join(' '), shell] as const))('in %s', (_, shell) => {
  const run = (script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const [program = '', ...before] = shell
    const { status, stdout, stderr } = spawnSync(program, [...before, script, ...args], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...env },
    })
    return { status, stdout, stderr, problems: stderr.split('\n').filter((line) => line.startsWith('problem: ')) }
  }
  const check = (args: readonly string[], env?: Readonly<Record<string, string>>) =>
    // Nothing is asked over the network: an address that is wrong already, or a source that is missing, ends it before.
    run('deploy/install.sh', ['--check', ...args], env)
  const about = (problems: readonly string[], word: string) => problems.filter((problem) => problem.includes(word))

  it.each(['deploy/install.sh', 'deploy/uninstall.sh'])('%s explains itself', (script) => {
    const { status, stdout } = run(script, ['--help'])
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^Usage: /)])
  })

  it.each([
    [['--tenant', TENANT]],
    [['--tenant-id']],
    [['--tenant-id', '--icp-server', 'https://icp.example']],
    [['now']],
  ])('refuses the command line %j', (args) => {
    expect(check(args).status).toBe(2)
  })

  it('takes no option that it does not know for --purge', () => {
    expect(run('deploy/uninstall.sh', ['--prune']).status).toBe(2)
  })

  it('tells all problems at once', () => {
    const { status, problems } = check([
      '--tenant-id',
      'x',
      '--node-id',
      '-a',
      '--icp-server',
      'ftp://x',
      '--version',
      '../..',
    ])
    expect(status).toBe(1)
    for (const word of ['tenant id', '--node-id', '--icp-server', '--from is missing', '--version']) {
      expect(about(problems, word), word).toHaveLength(1)
    }
  })

  it.each([
    ['your-tenant-id-here', 'placeholder'],
    ['YOUR-TENANT-UUID', 'placeholder'],
    ['477E9F97-d8a9-442a-8d92-f771393fab66', 'placeholder'],
    ['123e4567', 'not a UUID'],
  ])('refuses the tenant id %s', (tenant, reason) => {
    expect(about(check([`--tenant-id=${tenant}`]).problems, reason)).toHaveLength(1)
  })

  it('takes a tenant id in capitals, and variables in place of options', () => {
    const { problems } = check([], {
      TENANT_ID: TENANT.toUpperCase(),
      NODE_ID: 'node-1.example',
      ICP_SERVICE_ADDRESS: 'https://icp.example/spiresvc',
    })
    for (const word of ['tenant', 'node-id', 'icp-server']) expect(about(problems, word), word).toEqual([])
  })

  it.each(['http://icp.example', 'https://', 'https://x y', 'https://x"$(id)"', 'icp.example'])(
    'refuses the server %s',
    (server) => {
      expect(about(check(['--tenant-id', TENANT, '--icp-server', server]).problems, '--icp-server')).toHaveLength(1)
    },
  )

  it('takes a join token from one place only, and from a file that is there', () => {
    const problems = check(['--join-token', 't', '--join-token-file', '/missing/token']).problems
    expect(about(problems, 'join-token')).toHaveLength(2)
  })

  it.each(['http://packages.example', 'ftp://x', '/missing'])('fetches nothing from %s', (from) => {
    expect(about(check(['--from', from]).problems, '--from')).toHaveLength(1)
  })
})

it('a script that arrived in part does nothing', () => {
  const lines = readFileSync('deploy/install.sh', 'utf8').trimEnd().split('\n')
  expect(lines.at(-1)).toBe('main "$@"')
  // Before it there are only settings and functions.
  const { status, stdout, stderr } = spawnSync('sh', ['-s', '--', '--help'], {
    encoding: 'utf8',
    input: lines.slice(0, -1).join('\n'),
  })
  expect([status, stdout, stderr]).toEqual([0, '', ''])
})

it('the units say what installations rely on', () => {
  const unit = readFileSync('systemd/icp-agent.service', 'utf8')
  for (const line of [
    'Type=notify',
    'Restart=on-failure',
    'RuntimeDirectory=spire/sockets',
    'RuntimeDirectoryMode=0755',
    'StateDirectoryMode=0700',
    'EnvironmentFile=-/etc/icp-agent/agent.env',
    'LimitNOFILE=65536',
  ]) {
    expect(unit).toContain(`\n${line}\n`)
  }
  const [section = ''] = unit.split('[Service]')
  expect(section).toContain('StartLimitBurst=')
  expect(readFileSync('systemd/icp-agent.socket', 'utf8')).toMatch(/\nSocketMode=0666\n[\s\S]*\nBacklog=4096\n/)
})

it('what the installer fetches is what is handed out', () => {
  const script = readFileSync('deploy/install.sh', 'utf8')
  const wanted = /for name in "\$program" ([\s\S]*?); do/.exec(script)?.[1]?.split(/[\s\\]+/) ?? []
  const given = new Set([...readdirSync('systemd'), 'uninstall.sh', 'vm.md'])
  expect(wanted.length).toBeGreaterThan(5)
  expect(wanted.filter((name) => !given.has(name))).toEqual([])
})

it.skipIf(spawnSync('shellcheck', ['--version']).error !== undefined)('shellcheck finds nothing', () => {
  const { stdout } = spawnSync('shellcheck', ['deploy/install.sh', 'deploy/uninstall.sh'], { encoding: 'utf8' })
  expect(stdout).toBe('')
})
