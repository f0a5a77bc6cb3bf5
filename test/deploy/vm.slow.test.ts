import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { derive, makePackages } from '../support/packages.js'
import { until } from '../support/until.js'
import { devIcpUnit, type Ended, type RunOptions, VmMachine, vmObstacle } from '../support/vm-machine.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const SERVER = 'https://127.0.0.1:8443/spiresvc'
const WEB = 1500
const STRANGER = 1501
const CONFIG = '/etc/icp-agent/config.yaml'
/** Starts nothing: it says its version, finds every configuration good, and ends. */
const BROKEN = '#!/bin/sh\ncase $1 in version|validate) echo broken ;; *) sleep 1; exit 1 ;; esac\n'

describe.skipIf(vmObstacle() !== null)('on a machine with systemd', () => {
  let vm: VmMachine
  let version: string
  const packages = mkdtempSync(join(tmpdir(), 'icp-packages-'))

  beforeAll(async () => {
    version = makePackages(packages)
    derive(packages, version, '9.0.0')
    derive(packages, version, '9.0.1', BROKEN)
    vm = await VmMachine.start()
    cpSync(packages, join(vm.root, 'opt/packages'), { recursive: true })
    cpSync(join(packages, version, `icp-agent-${version}-linux-${process.arch}`), join(vm.root, 'opt/icp'))
    vm.must(['useradd', '--uid', String(WEB), 'web'])
    vm.must(['useradd', '--uid', String(STRANGER), 'stranger'])
    const icp = devIcpUnit('/opt/dev', `--listen 127.0.0.1:8443 --tenant-id ${TENANT}`)
    writeFileSync(join(vm.root, 'etc/systemd/system/dev-icp.service'), icp)
    vm.must(['systemctl', 'enable', '--quiet', '--now', 'dev-icp.service'])
    await until(() => existsSync(join(vm.root, 'opt/dev/ca.pem')))
    await until(() => vm.run(['curl', '-s', '--cacert', '/opt/dev/ca.pem', SERVER]).status === 0)
    register('web', { 'unix:uid': String(WEB) })
  })

  afterAll(async () => {
    await vm?.[Symbol.asyncDispose]()
    rmSync(packages, { recursive: true, force: true })
  })

  const register = (name: string, selectors: Readonly<Record<string, string>>) => {
    const entry = { spiffe_id: `spiffe://${TENANT}/${name}`, selectors }
    const token = readFileSync(join(vm.root, 'opt/dev/admin-token'), 'utf8').trim()
    const headers = ['-H', `Authorization: Bearer ${token}`, '-d', JSON.stringify(entry)]
    vm.must(['curl', '-sSf', '--cacert', '/opt/dev/ca.pem', ...headers, `${SERVER}/v1/entries`])
  }
  const install = (args: readonly string[], options: RunOptions = {}): Ended =>
    vm.run(['sh', '/opt/packages/install.sh', '--from', '/opt/packages', ...args], options)
  const settings = [
    '--tenant-id',
    TENANT,
    '--icp-server',
    SERVER,
    '--node-id',
    'vm-1',
    '--trust-bundle',
    '/opt/dev/ca.pem',
  ]
  const fetchAs = (uid: number) => vm.run(['icp-agent', 'api', 'fetch', 'x509', '-o', 'json'], { uid })
  const current = () => vm.must(['readlink', '/usr/lib/icp-agent/current']).trim()
  const mainPid = () => vm.must(['systemctl', 'show', '-P', 'MainPID', 'icp-agent.service']).trim()
  const state = () => vm.run(['systemctl', 'is-active', 'icp-agent.service', 'icp-agent.socket']).stdout
  const agentId = () => {
    const file = JSON.parse(readFileSync(join(vm.root, 'var/lib/icp-agent/agent-identity.json'), 'utf8'))
    return JSON.stringify(file).match(/spiffe:\/\/[^"]+/)?.[0]
  }

  it('says everything that is wrong at once and changes nothing', () => {
    const { status, stderr } = install([
      '--tenant-id',
      'your-tenant-id-here',
      '--icp-server',
      'http://far.example',
      '--node-id',
      '..',
    ])
    expect(status).toBe(1)
    expect(stderr.match(/^problem: /gm)).toHaveLength(3)
    expect(install([...settings, '--icp-server', 'https://127.0.0.1:1']).stderr).toContain('cannot be reached')
    for (const path of ['usr/lib/icp-agent', 'etc/icp-agent', 'etc/systemd/system/icp-agent.service']) {
      expect(existsSync(join(vm.root, path)), path).toBe(false)
    }
  })

  it('names the library of Node that the machine lacks', () => {
    const folder = vm.must(['sh', '-c', 'dirname /usr/lib/*/libatomic.so.1']).trim()
    vm.must(['sh', '-c', `mkdir /opt/aside && mv ${folder}/libatomic.so.1* /opt/aside && ldconfig`])
    try {
      const { status, stderr } = install([...settings, '--check'])
      expect([status, stderr]).toEqual([1, expect.stringContaining('libatomic.so.1 is missing; install libatomic1')])
    } finally {
      vm.must(['sh', '-c', `mv /opt/aside/* ${folder} && ldconfig`])
    }
    expect(install([...settings, '--check'])).toMatchObject({ status: 0, stderr: '' })
  })

  it('refuses a program whose checksum is wrong', () => {
    const folder = join(vm.root, 'opt/bad', version)
    mkdirSync(folder, { recursive: true })
    cpSync(join(packages, version), folder, { recursive: true })
    writeFileSync(join(folder, 'config.yaml'), '# changed\n', { flag: 'a' })
    const { status, stderr } = install([...settings, '--from', `/opt/bad/${version}`])
    expect([status, stderr]).toEqual([1, expect.stringContaining('checksum of config.yaml is wrong')])
    expect(existsSync(join(vm.root, 'usr/lib/icp-agent'))).toBe(false)
  })

  it('installs from a pipe, as the quick start does', () => {
    const script = readFileSync('deploy/install.sh', 'utf8')
    const { status, stderr } = vm.run(
      ['bash', '-s', '--', '--from', '/opt/packages', '--version', version, ...settings],
      { input: script },
    )
    expect([status, stderr.replace(/^Creating .*\n/gm, '')]).toEqual([0, ''])
    expect(current()).toBe(`versions/${version}`)
    expect(vm.must(['stat', '-c', '%a %U', '/etc/icp-agent/agent.env']).trim()).toBe('600 root')
    expect(vm.must(['stat', '-c', '%a %U', '/var/lib/icp-agent']).trim()).toBe('700 icp-agent')
    expect(vm.must(['stat', '-c', '%a', '/run/spire/sockets/agent.sock']).trim()).toBe('666')
    expect(vm.must(['stat', '-c', '%a', '/run/spire/sockets']).trim()).toBe('755')
  })

  it('has units that systemd has nothing to say about, and little exposure', () => {
    const verified = vm.run(['systemd-analyze', 'verify', 'icp-agent.service', 'icp-agent.socket'])
    expect(verified).toEqual({ status: 0, stdout: '', stderr: '' })
    const exposure = vm.must(['systemd-analyze', 'security', '--no-pager', 'icp-agent.service'])
    expect(Number(/exposure level .*: ([\d.]+)/.exec(exposure)?.[1])).toBeLessThan(2.5)
    const page = readFileSync('docs/install/vm.md', 'utf8')
    const exposed = exposure.split('\n').flatMap((line) => /^\s*✗ (\S+)/.exec(line)?.[1] ?? [])
    expect(exposed.length).toBeGreaterThan(5)
    expect(exposed.filter((name) => !page.includes(`| \`${name.replaceAll('|', '\\|')}\` |`))).toEqual([])
  })

  it('attests a workload by its uid, and hashes the program of another user', async () => {
    await until(() => fetchAs(WEB).status === 0)
    expect(fetchAs(WEB).stdout).toContain(`spiffe://${TENANT}/web`)
    expect(fetchAs(STRANGER).status).toBe(1)
    const program = readFileSync(join(packages, version, `icp-agent-${version}-linux-${process.arch}`))
    const digest = createHash('sha256').update(program).digest('hex')
    register('known-program', { 'unix:uid': String(STRANGER), 'unix:sha256': digest })
    await until(() => fetchAs(STRANGER).status === 0)
    expect(fetchAs(STRANGER).stdout).toContain(`spiffe://${TENANT}/known-program`)
  })

  it('tells systemd how it is, reloads, and shows signs of life', async () => {
    await until(() => vm.must(['systemctl', 'show', '-P', 'StatusText', 'icp-agent.service']).includes('SVIDs held'))
    const before = mainPid()
    vm.must(['systemctl', 'reload', 'icp-agent.service'])
    await until(() => vm.must(['systemctl', 'is-active', 'icp-agent.service']).trim() === 'active')
    expect(mainPid()).toBe(before)
    expect(
      Number(vm.must(['systemctl', 'show', '-P', 'WatchdogTimestampMonotonic', 'icp-agent.service'])),
    ).toBeGreaterThan(0)
  })

  it('puts a changed configuration into force by `systemctl reload`, and lets it fail where the file is wrong', () => {
    const path = join(vm.root, 'etc/icp-agent/config.yaml')
    const [original, before] = [readFileSync(path, 'utf8'), mainPid()]
    writeFileSync(path, `${original}\nworkload_api: {hold: 3s}\n`)
    expect(vm.run(['systemctl', 'reload', 'icp-agent.service'])).toMatchObject({ status: 0 })
    expect(JSON.parse(vm.must(['icp-agent', 'status', '-o', 'json'])).reload.last).toMatchObject({
      ok: true,
      changed: ['workload_api.hold'],
    })
    writeFileSync(path, `${original}\nworkload_api: {hold: soon}\n`)
    expect(vm.run(['systemctl', 'reload', 'icp-agent.service']).status).not.toBe(0)
    expect(vm.must(['journalctl', '--no-pager', '-u', 'icp-agent.service'])).toMatch(/workload_api\.hold.*soon/)
    expect([mainPid(), state()]).toEqual([before, 'active\nactive\n'])
    expect(JSON.parse(vm.must(['icp-agent', 'status', '-o', 'json'])).reload.last).toMatchObject({ ok: false })
    writeFileSync(path, original)
    vm.must(['systemctl', 'reload', 'icp-agent.service'])
    expect(fetchAs(WEB).status).toBe(0)
  })

  it('is reloading for systemd while it reads its configuration, by systemctl and by a signal, and active after', async () => {
    const path = join(vm.root, 'etc/icp-agent/config.yaml')
    const [original, before] = [readFileSync(path, 'utf8'), mainPid()]
    // It takes a good part of a second to read.
    const names = Array.from({ length: 9_000 }, (_, i) => `n${i}`).join(', ')
    const slow = `${original}\nattestation: {kubernetes: {authsec_namespaces: [${names}]}}\n`
    const show = 'systemctl show -p ActiveState,SubState icp-agent.service | paste -sd " "'
    const running = 'ActiveState=active SubState=running\n'
    const isReloading = (text: string) => text.includes('ActiveState=reloading SubState=reload\n')
    const looking = vm.spawn(['sh', '-c', `while ${show}; do :; done`])
    let shown = ''
    looking.stdout?.on('data', (chunk) => {
      shown += chunk
    })
    const reload = () =>
      new Promise<number | null>((resolve) => {
        vm.spawn(['systemctl', 'reload', 'icp-agent.service']).once('exit', (code) => resolve(code))
      })
    try {
      writeFileSync(path, slow)
      await until(async () => {
        expect(await reload()).toBe(0)
        expect(vm.must(['sh', '-c', show])).toBe(running)
        return isReloading(shown)
      })

      // Here systemd knows of it by nothing but RELOADING=1 and READY=1.
      const length = shown.length
      await until(() => {
        vm.must(['systemctl', 'kill', '--kill-who=main', '--signal=HUP', 'icp-agent.service'])
        return isReloading(shown.slice(length))
      })
      await until(() => shown.endsWith(running.repeat(20)))

      writeFileSync(path, slow.replace('[n0, ', '[Not_Ok, '))
      expect(await reload()).not.toBe(0)
      expect(vm.must(['sh', '-c', show])).toBe(running)
      expect(mainPid()).toBe(before)
    } finally {
      writeFileSync(path, original)
      await vm.end(looking)
      await reload()
    }
  })

  it('goes on in a new file when its log was rotated, by what the documents have logrotate run', async () => {
    const path = join(vm.root, 'etc/icp-agent/config.yaml')
    const original = readFileSync(path, 'utf8')
    const withFile = original.replace(/^logging:\n/m, 'logging:\n  file_path: /var/log/icp-agent/agent.log\n')
    expect(withFile).not.toBe(original)
    try {
      writeFileSync(path, withFile)
      vm.must(['systemctl', 'reload', 'icp-agent.service'])
      const log = join(vm.root, 'var/log/icp-agent/agent.log')
      await until(() => existsSync(log))
      const [, script = ''] = /postrotate\n(.*?)\n +endscript/s.exec(readFileSync('docs/logs.md', 'utf8')) ?? []
      vm.must(['mv', '/var/log/icp-agent/agent.log', '/var/log/icp-agent/agent.log.1'])
      vm.must(['sh', '-ec', script])
      await until(() => existsSync(log) && readFileSync(log, 'utf8').includes('Configuration reloaded'))
      expect(readFileSync(log, 'utf8')).toContain('Log reopened')
      expect(readFileSync(`${log}.1`, 'utf8')).not.toContain('Log reopened')
      expect(vm.must(['stat', '-c', '%a %U', '/var/log/icp-agent/agent.log']).trim()).toBe('600 icp-agent')
    } finally {
      writeFileSync(path, original)
    }
    vm.must(['systemctl', 'reload', 'icp-agent.service'])
  })

  it('explains what the process of a unit gets, which is what it gets', async () => {
    register('unit', { 'systemd:id': 'explained.service' })
    const program = vm.must(['sh', '-c', 'command -v icp-agent']).trim()
    vm.must(['systemd-run', '--quiet', '--unit=explained', `--uid=${STRANGER}`, program, 'api', 'watch', 'x509'])
    const pid = Number(vm.must(['systemctl', 'show', '-P', 'MainPID', 'explained.service']))
    const served = () => {
      const { rows } = JSON.parse(vm.must(['icp-agent', 'status', 'workloads', '-o', 'json']))
      return rows.find((row: { pid: number }) => row.pid === pid)?.spiffe_ids
    }
    await until(() => served()?.length === 2)
    const { processes } = JSON.parse(vm.must(['icp-agent', 'explain', '--pid', String(pid), '-o', 'json']))
    expect(processes).toMatchObject([{ decision: { kind: 'send', spiffe_ids: served() } }])
    expect(processes[0].selectors).toContainEqual(
      expect.objectContaining({ selector: 'systemd:id', value: 'explained.service', attestor: 'systemd' }),
    )
    vm.must(['systemctl', 'stop', 'explained.service'])
  })

  it('restarts without a refused caller, while a client is connected', async () => {
    const before = mainPid()
    const watch = watching()
    await watch.saw(1)
    const refused = await refusalsWhile(() => vm.must(['systemctl', 'restart', 'icp-agent.service']))
    expect(refused).toEqual([])
    expect(mainPid()).not.toBe(before)
    // The stream ended with the agent; the client is back on the new one.
    await until(() => fetchAs(WEB).status === 0)
    expect(watch.ended()).toBe(false)
    watch.end()
  })

  it('is started again after it was killed', async () => {
    const before = mainPid()
    // By systemd: for kill(1) the id 0 of a unit that does not run is the group of this process.
    vm.must(['systemctl', 'kill', '--kill-who=main', '--signal=KILL', 'icp-agent.service'])
    await until(() => !['0', before].includes(mainPid()) && state() === 'active\nactive\n')
    expect(fetchAs(WEB).status).toBe(0)
  })

  it('changes nothing when the same version is installed again', () => {
    const before = mainPid()
    const { status, stdout } = install(['--version', version, ...settings])
    expect([status, stdout]).toEqual([0, expect.stringContaining('nothing has changed')])
    expect(mainPid()).toBe(before)
  })

  it('upgrades in place, keeps the configuration and refuses nobody', async () => {
    writeFileSync(join(vm.root, 'etc/icp-agent/config.yaml'), '# a comment of the administrator\n', { flag: 'a' })
    const before = agentId()
    let result: Ended | undefined
    const refused = await refusalsWhile(() => {
      result = install(['--version', '9.0.0'])
    })
    expect(result?.status).toBe(0)
    expect(refused).toEqual([])
    expect(current()).toBe('versions/9.0.0')
    expect(readFileSync(join(vm.root, 'etc/icp-agent/config.yaml'), 'utf8')).toContain('of the administrator')
    expect(agentId()).toBe(before)
    expect(before).toContain('/agent/vm-1')
  })

  it('goes back when the new version does not become healthy within 60 seconds', () => {
    const { status, stderr } = install(['--version', '9.0.1'])
    expect([status, stderr]).toEqual([3, expect.stringContaining('did not become healthy in 60 s')])
    expect(current()).toBe('versions/9.0.0')
    expect(existsSync(join(vm.root, 'usr/lib/icp-agent/versions/9.0.1'))).toBe(false)
    expect(state()).toBe('active\nactive\n')
    expect(fetchAs(WEB).status).toBe(0)
  })

  it.each(['TERM', 'KILL'])('leaves nothing half done when SIG%s ends it in the middle', async (signal) => {
    const running = vm.spawn(['sh', '/opt/packages/install.sh', '--from', '/opt/packages', '--version', '9.0.1'])
    await until(
      () => current() === 'versions/9.0.1' && !vm.must(['cat', '/run/icp-agent-install.lock/pid']).includes('no'),
    )
    const ended = new Promise((resolve) => running.once('exit', resolve))
    vm.must(['sh', '-ec', `kill -${signal} "$(grep -x '[1-9][0-9]*' /run/icp-agent-install.lock/pid)"`])
    await ended
    // Nothing can tidy up after SIGKILL but the next run.
    if (signal === 'KILL') expect(install(['--version', '9.0.0']).stderr).toContain('cut off')
    expect(current()).toBe('versions/9.0.0')
    expect(existsSync(join(vm.root, 'usr/lib/icp-agent/.transaction'))).toBe(false)
    await until(() => state() === 'active\nactive\n')
    expect(fetchAs(WEB).status).toBe(0)
  })

  it('refuses a configuration that cannot be used, and keeps the one that runs', () => {
    const before = mainPid()
    const file = join(vm.root, 'etc/icp-agent/agent.env')
    const good = readFileSync(file, 'utf8')
    writeFileSync(file, good.replace(/^TENANT_ID=.*/m, 'ICP_AGENT_HEALTH__PORT=many\n$&'))
    expect(install(['--version', version]).status).toBe(1)
    writeFileSync(file, good)
    expect([current(), mainPid()]).toEqual(['versions/9.0.0', before])
  })

  it('is there again after a reboot, as the same node', async () => {
    const before = agentId()
    await vm.reboot()
    await until(() => state() === 'active\nactive\n')
    await until(() => fetchAs(WEB).status === 0)
    expect(agentId()).toBe(before)
    expect(vm.run(['icp-agent', 'healthcheck', '-c', CONFIG], { env: { TENANT_ID: TENANT } }).stdout).toBe('ready\n')
  })

  it('is removed, keeps its identity, and --purge leaves nothing', () => {
    const script = '/usr/lib/icp-agent/current/uninstall.sh'
    expect(vm.run(['sh', script]).status).toBe(0)
    expect(existsSync(join(vm.root, 'var/lib/icp-agent/agent-identity.json'))).toBe(true)
    expect(existsSync(join(vm.root, 'etc/icp-agent/agent.env'))).toBe(true)
    const { status, stderr } = vm.run(['sh', '/opt/packages/9.0.0/uninstall.sh', '--purge'])
    expect([status, stderr]).toEqual([0, ''])
    const left = vm.must([
      'sh',
      '-c',
      'find /etc /usr /var /run -xdev \\( -name "*icp-agent*" -o -path "/run/spire*" \\) -not -path "/var/log/journal/*" 2>/dev/null',
    ])
    expect(left).toBe('')
    expect(vm.run(['id', 'icp-agent']).status).toBe(1)
    expect(vm.must(['systemctl', '--failed', '--no-legend', '--plain'])).toBe('')
  })

  /** Calls that did not get their SVID while something happened: a caller may wait, never be turned away. */
  async function refusalsWhile(happening: () => void): Promise<readonly string[]> {
    const loop = vm.spawn(
      [
        'sh',
        '-c',
        // Whom a stopping agent asks to connect again is not refused: clients do so.
        `while :; do
           said=$(icp-agent api fetch x509 -o json --timeout 60s 2>&1 >/dev/null) ||
             case $said in *"the agent is stopping"*) ;; *) echo "$said" ;; esac
           echo called
         done`,
      ],
      { uid: WEB },
    )
    let output = ''
    for (const stream of [loop.stdout, loop.stderr])
      stream?.on('data', (chunk) => {
        output += chunk
      })
    await until(() => output.includes('called'))
    const during = vm.spawn(['true'])
    await new Promise((resolve) => during.once('exit', resolve))
    happening()
    const seen = output.length
    await until(() => output.slice(seen).includes('called'))
    await vm.end(loop)
    return output.split('\n').filter((line) => line !== '' && line !== 'called')
  }

  /** `icp-agent api watch x509` of the web user. */
  function watching() {
    const child = vm.spawn(['icp-agent', 'api', 'watch', 'x509', '-o', 'json'], { uid: WEB })
    let output = ''
    child.stdout?.on('data', (chunk) => {
      output += chunk
    })
    return {
      saw: (times: number) => until(() => output.split(`spiffe://${TENANT}/web`).length > times),
      ended: () => child.exitCode !== null,
      end: () => vm.end(child),
    }
  }
})
