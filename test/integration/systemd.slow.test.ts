import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePackages } from '../support/packages.js'
import { until } from '../support/until.js'
import { type Ended, VmMachine, vmObstacle } from '../support/vm-machine.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const SERVER = 'https://127.0.0.1:8443/spiresvc'
const WEB = 1500
const FETCH = ['/usr/local/bin/icp-agent', 'api', 'fetch', 'x509', '-o', 'json', '--timeout', '6s']
const ENTRIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  a: { 'unix:uid': String(WEB), 'systemd:id': 'web-a.service' },
  b: { 'unix:uid': String(WEB), 'systemd:id': 'web-b.service' },
  batch: { 'systemd:slice': 'batch.slice' },
  job: { 'systemd:fragment-path': '/etc/systemd/system/job@.service' },
  transient: { 'systemd:fragment_path': '/run/systemd/transient/made-up.service' },
}

const obstacle = vmObstacle()
if (obstacle !== null) process.stderr.write(`The systemd attestor is not tested on a real systemd: ${obstacle}\n`)

describe.skipIf(obstacle !== null)('the agent on a machine with systemd', () => {
  let vm: VmMachine
  const packages = mkdtempSync(join(tmpdir(), 'icp-packages-'))
  const write = (path: string, content: string) => writeFileSync(join(vm.root, path), content)
  const read = (path: string) => readFileSync(join(vm.root, path), 'utf8')

  beforeAll(async () => {
    const version = makePackages(packages)
    vm = await VmMachine.start()
    cpSync(packages, join(vm.root, 'opt/packages'), { recursive: true })
    const executable = join(packages, version, `icp-agent-${version}-linux-${process.arch}`)
    cpSync(executable, join(vm.root, 'usr/local/bin/icp-agent'))
    vm.must(['useradd', '--uid', String(WEB), '--home-dir', '/var/lib/web', '--create-home', 'web'])
    vm.must(['install', '-d', '-m', '777', '/out'])
    const server = `dev-icp --data /opt/dev --listen 127.0.0.1:8443 --limits off --tenant-id ${TENANT}`
    write('etc/systemd/system/dev-icp.service', `[Service]\nExecStart=/usr/local/bin/icp-agent ${server}\n`)
    for (const name of ['web-a', 'web-b', 'job@']) write(`etc/systemd/system/${name}.service`, fetching('/out/%n'))
    write('opt/move', MOVE)
    // The user's manager without PAM, which this machine does not have.
    vm.must(['install', '-d', '/etc/systemd/system/user@.service.d'])
    const own = '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n'
    write('etc/systemd/system/user@.service.d/own.conf', own)
    vm.must(['systemctl', 'daemon-reload'])
    vm.must(['systemctl', 'start', 'dev-icp.service'])
    await until(() => existsSync(join(vm.root, 'opt/dev/ca.pem')))
    await until(() => curl([SERVER]).status === 0)
    const authorization = `Authorization: Bearer ${read('opt/dev/admin-token').trim()}`
    for (const [name, selectors] of Object.entries(ENTRIES)) {
      const entry = JSON.stringify({ spiffe_id: `spiffe://${TENANT}/${name}`, selectors })
      expect(curl(['-f', '-H', authorization, '-d', entry, `${SERVER}/v1/entries`]).status).toBe(0)
    }
    const where = ['--from', '/opt/packages', '--version', version, '--trust-bundle', '/opt/dev/ca.pem']
    const what = ['--tenant-id', TENANT, '--icp-server', SERVER, '--node-id', 'vm-1']
    vm.must(['sh', '/opt/packages/install.sh', ...where, ...what])
    // A new installation writes for people; the test reads what machines do.
    vm.must(['sh', '-c', 'echo ICP_AGENT_LOGGING__FORMAT=json >>/etc/icp-agent/agent.env'])
    vm.must(['systemctl', 'restart', 'icp-agent.service'])
    await until(() => status().ready === true)
  })

  afterAll(async () => {
    await vm?.[Symbol.asyncDispose]()
    rmSync(packages, { recursive: true, force: true })
  })

  const curl = (args: readonly string[]) => vm.run(['curl', '-sS', '--cacert', '/opt/dev/ca.pem', ...args])
  const status = () => JSON.parse(vm.run(['curl', '-s', 'http://127.0.0.1:8080/status']).stdout || '{}')
  const log = () => vm.must(['journalctl', '-u', 'icp-agent', '-o', 'cat', '--no-pager'])
  /** Identities in what `api fetch x509 -o json` printed. */
  const identities = (text: string) =>
    [...new Set(text.match(/spiffe:\/\/[^"]+/g) ?? [])].map((id) => id.split('/').pop())
  /** Starts a unit that fetches once, and reads what it got. */
  const start = (unit: string): string => {
    vm.run(['systemctl', 'start', unit])
    return read(`out/${unit}`)
  }
  /** The same as a unit that is made for it. */
  const transient = (unit: string, properties: readonly string[], command: readonly string[] = FETCH): Ended =>
    vm.run([
      ...['systemd-run', '--quiet', '--wait', '--pipe', '--collect', `--unit=${unit}`, `--uid=${WEB}`],
      ...properties,
      ...command,
    ])

  it('says that systemd is asked, and why the other platforms are not', () => {
    expect(status().attestors).toEqual([
      { name: 'unix', active: true, reason: expect.any(String) },
      { name: 'docker', active: false, reason: 'there is no container engine at /var/run/docker.sock' },
      { name: 'kubernetes', active: false, reason: expect.stringContaining('KUBERNETES_SERVICE_HOST') },
      { name: 'systemd', active: true, reason: 'systemd runs this machine' },
    ])
    expect(log().match(/"event":"Workload attestor is (?:on|off)"/g)?.length).toBeGreaterThanOrEqual(4)
  })

  it('two units of one user and one program get an identity each', () => {
    expect(identities(start('web-a.service'))).toEqual(['a'])
    expect(identities(start('web-b.service'))).toEqual(['b'])
  })

  it('the file and the slice of a unit are selectors: instances share theirs', () => {
    expect(identities(start('job@1.service'))).toEqual(['job'])
    expect(identities(start('job@two.service'))).toEqual(['job'])
    expect(identities(transient('made-up', []).stdout)).toEqual(['transient'])
    expect(identities(transient('other', ['--slice=batch.slice']).stdout)).toEqual(['batch'])
  })

  it("a user's own unit of the same name gets nothing", async () => {
    const env = { XDG_RUNTIME_DIR: `/run/user/${WEB}` }
    const own = '/var/lib/web/.config/systemd/user'
    vm.must(['install', '-d', '-o', 'web', own])
    write(`${own}/web-a.service`, fetching('/out/own').replace('User=web\n', ''))
    vm.must(['systemctl', 'start', `user@${WEB}.service`])
    vm.run(['systemctl', '--user', 'start', 'web-a.service'], { uid: WEB, env })
    expect(vm.run(['systemctl', '--user', 'show', '-P', 'ExecMainStatus', 'web-a'], { uid: WEB, env }).stdout).toBe(
      '1\n',
    )
    expect(identities(read('out/own'))).toEqual([])
    await denied(`user@${WEB}.service`)
  })

  it.each(['web-a.service', 'system.slice/web-a.service'])(
    'a unit that calls its own group %s gets nothing',
    async (name) => {
      const { status, stdout } = transient('forger', ['-p', 'Delegate=yes'], ['sh', '/opt/move', name, ...FETCH])
      expect([status, identities(stdout)]).toEqual([1, []])
      await denied('forger.service')
    },
  )

  it('while the bus is away a unit is known by its name, and who needs its file is not denied', async () => {
    vm.must(['systemctl', 'stop', 'dbus.socket', 'dbus.service'])
    try {
      // What was known of the units is forgotten after ten seconds.
      await sleep(10_500)
      expect(identities(start('web-a.service'))).toEqual(['a'])
      expect(start('job@3.service')).toContain('client.unavailable')
    } finally {
      vm.must(['systemctl', 'start', 'dbus.socket'])
    }
    expect(identities(start('job@4.service'))).toEqual(['job'])
  })

  /** The log says so, of a process in that unit. */
  const denied = (unit: string) =>
    until(() =>
      log()
        .split('\n')
        .some((line) => line.includes('"Workload API call denied"') && line.includes(`"systemd:id":"${unit}"`)),
    )
})

/** Moves itself into a group below its own (`forger.service`) and goes on as another program; 9: it could not. */
const MOVE = `name=$1; shift
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  test -e $top$own/cgroup.procs || continue
  mkdir -p $top$own/$name && echo $$ >$top$own/$name/cgroup.procs
done
grep -q "forger.service/$name$" /proc/self/cgroup || exit 9
exec "$@"
`

/** A unit that fetches its identities once and leaves what it was told in a file. */
function fetching(output: string): string {
  const streams = `StandardOutput=truncate:${output}\nStandardError=append:${output}\n`
  return `[Service]\nType=oneshot\nUser=web\nExecStart=${FETCH.join(' ')}\n${streams}`
}
