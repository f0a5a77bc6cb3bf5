import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'

const TENANT = '123e4567-e89b-42d3-a456-426614174000'
const SHELLS = [['dash'], ['busybox', 'sh'], ['bash', '--posix']].filter(
  ([program = '']) => spawnSync(program, ['-c', ':']).error === undefined,
)

const LINES = readFileSync('deploy/install.sh', 'utf8').trimEnd().split('\n')
/** Settings and functions, without the line that starts it. */
const FUNCTIONS = LINES.slice(0, -1).join('\n')

describe.each(SHELLS.map((shell) => [shell.join(' '), shell] as const))('in %s', (_, shell) => {
  const run = (script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const [program = '', ...before] = shell
    const { status, stdout, stderr } = spawnSync(program, [...before, script, ...args], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...env },
      // With a socket there bash takes itself for a remote shell, and reads somebody's .bashrc.
      stdio: ['ignore', 'pipe', 'pipe'],
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

  it.each([
    ['4.18.0-553.el8.x86_64', 1],
    ['5.2.21', 1],
    ['5.3.0', 0],
    ['5.10.0-30-amd64', 0],
    ['6.1', 0],
    ['10.0.1', 0],
  ])('says of a machine with Linux %s so many problems: %s', (release, count) => {
    const { stdout } = run('-c', [
      `${FUNCTIONS}
      problems=0
      uname() { echo ${release}; }
      grep() { return 1; }
      check_kernel 2>&1`,
    ])
    expect(about(stdout.split('\n'), `the kernel is Linux ${release}; 5.3`)).toHaveLength(count)
  })

  it('takes an older kernel to which pidfd_open was added', () => {
    const { status, stdout } = run('-c', [
      `${FUNCTIONS}
      problems=0
      uname() { echo 4.18.0; }
      grep() { echo 'ffffffff81234560 T __x64_sys_pidfd_open' | command grep "$1" "$2"; }
      check_kernel 2>&1`,
    ])
    expect([status, stdout]).toEqual([0, ''])
  })

  it.each(['http://packages.example', 'ftp://x', '/missing'])('fetches nothing from %s', (from) => {
    expect(about(check(['--from', from]).problems, '--from')).toHaveLength(1)
  })
})

describe('the configuration of the older agent', () => {
  const folders: string[] = []
  afterEach(() => {
    for (const path of folders.splice(0)) rmSync(path, { recursive: true })
  })

  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'icp-older-'))
    folders.push(path)
    return path
  }

  /** Takes it over, as an installation does, and tells the variables afterwards. */
  function takeOver(older: string, trust = '', etc = folder(), locale = 'C') {
    const script = `${FUNCTIONS}
      ETC='${etc}' OLDER='${older}' work=$(mktemp -d) target=systemd
      JOURNAL=$work count=0 tenant= server= node= token= token_file= trust='${trust}'
      effective_trust=\${trust:-$(named trust_bundle_path)}
      write_configuration >/dev/null
      rm -r "$work"`
    const env = { PATH: process.env['PATH'], LC_ALL: locale }
    const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8', env })
    expect(status).toBe(0)
    return { etc, variables: readFileSync(join(etc, 'agent.env'), 'utf8'), warnings: stderr }
  }

  function olderFolder(trustBundlePath: string): string {
    const older = folder()
    writeFileSync(
      join(older, 'config.yaml'),
      `icp_service:\n  trust_bundle_path: ${trustBundlePath.replace('OLDER', older)}\n`,
    )
    writeFileSync(join(older, 'agent.env'), `TENANT_ID=${TENANT}\n`)
    return older
  }

  const VARIABLE = 'ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH'

  it('needs nothing of its folder: the trust bundle that lies there is copied', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n', { mode: 0o600 })
    const { etc, variables, warnings } = takeOver(older)
    expect(warnings).toBe('')
    expect(variables).toContain(`\n${VARIABLE}=${etc}/trust-bundle.pem\n`)
    expect(readFileSync(join(etc, 'trust-bundle.pem'), 'utf8')).toBe('PEM\n')
    expect(statSync(join(etc, 'trust-bundle.pem')).mode & 0o777).toBe(0o644)
  })

  it('that names a trust bundle that is not there stays as it is', () => {
    const { etc, variables } = takeOver(olderFolder('OLDER/trust-bundle.pem'))
    expect(variables).not.toContain(VARIABLE)
    expect(existsSync(join(etc, 'trust-bundle.pem'))).toBe(false)
  })

  it('that names a trust bundle elsewhere stays as it is', () => {
    const elsewhere = join(folder(), 'ca.pem')
    writeFileSync(elsewhere, 'PEM\n')
    expect(takeOver(olderFolder(elsewhere)).variables).not.toContain(VARIABLE)
  })

  it('gives way to the trust bundle that was asked for', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    const wanted = join(folder(), 'wanted.pem')
    writeFileSync(wanted, 'WANTED\n')
    const { etc, variables } = takeOver(older, wanted)
    expect(variables.split(VARIABLE)).toHaveLength(2)
    expect(readFileSync(join(etc, 'trust-bundle.pem'), 'utf8')).toBe('WANTED\n')
  })

  it('may end without a line break: a variable that is set gets a line of its own', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    writeFileSync(join(older, 'agent.env'), `TENANT_ID=${TENANT}\nLOG_LEVEL=info`)
    const { etc, variables } = takeOver(older)
    expect(variables.split('\n')).toEqual([
      `TENANT_ID=${TENANT}`,
      'LOG_LEVEL=info',
      `${VARIABLE}=${etc}/trust-bundle.pem`,
      '',
    ])
  })

  it('keeps each variable below its comment, and uncomments what is set', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    writeFileSync(join(older, 'agent.env'), `# Private authority.\n#${VARIABLE}=/x\n\n# Level.\nLOG_LEVEL=info\n`)
    const { etc, variables } = takeOver(older)
    expect(variables).toBe(`# Private authority.\n${VARIABLE}=${etc}/trust-bundle.pem\n\n# Level.\nLOG_LEVEL=info\n`)
  })

  it('keeps each byte of its variables, also where they are no UTF-8', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    const before = Buffer.from(`# f\xfcr M\xfcnchen\nTENANT_ID=${TENANT}\n`, 'latin1')
    writeFileSync(join(older, 'agent.env'), before)
    const { etc } = takeOver(older, '', undefined, 'C.UTF-8')
    expect(readFileSync(join(etc, 'agent.env')).subarray(0, before.length)).toEqual(before)
  })

  it('may hold nothing but the variable that is set anew', () => {
    const older = olderFolder('OLDER/trust-bundle.pem')
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    writeFileSync(join(older, 'agent.env'), `${VARIABLE}=/elsewhere`)
    const { etc, variables } = takeOver(older)
    expect(variables).toBe(`${VARIABLE}=${etc}/trust-bundle.pem\n`)
  })

  it('that names its folder behind a variable is told: what it names is not copied', () => {
    const older = olderFolder(`"\${TRUST_BUNDLE:-OLDER/trust-bundle.pem}"`)
    writeFileSync(join(older, 'trust-bundle.pem'), 'PEM\n')
    const first = takeOver(older)
    expect(first.warnings.split('\n')).toEqual([expect.stringContaining(`${first.etc}/config.yaml, line 2,`), ''])
    // At each run, as long as it is so.
    expect(takeOver(older, '', first.etc).warnings).toBe(first.warnings)
    writeFileSync(join(first.etc, 'agent.env'), `${VARIABLE}=/elsewhere/ca.pem\n`)
    expect(takeOver(older, '', first.etc).warnings).toBe('')
  })

  it('is told of what its variables name in its folders, and not of comments', () => {
    const older = folder()
    writeFileSync(
      join(older, 'config.yaml'),
      '# /etc/spire-agent/config.yaml\nagent:\n  data_dir: /var/lib/spire-agent\n',
    )
    writeFileSync(join(older, 'agent.env'), `# /etc/spire-agent\nICP_AGENT_AGENT__JOIN_TOKEN_PATH=${older}/token`)
    const { etc, warnings } = takeOver(older)
    expect(warnings.split('\n')).toEqual([expect.stringContaining(`${etc}/agent.env, line 2,`), ''])
    expect(warnings).not.toContain('token')
  })
})

it('a script that arrived in part does nothing', () => {
  expect(LINES.at(-1)).toBe('main "$@"')
  // Before it there are only settings and functions.
  const { status, stdout, stderr } = spawnSync('sh', ['-s', '--', '--help'], { encoding: 'utf8', input: FUNCTIONS })
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
