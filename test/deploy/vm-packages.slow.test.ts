import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeOtherPackages, makeSystemPackages, packageIn, systemPackagesObstacle } from '../support/system-packages.js'
import { until } from '../support/until.js'
import { devIcpUnit, VmMachine, vmObstacle } from '../support/vm-machine.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const SERVER = 'https://127.0.0.1:8443/spiresvc'
const WEB = 1500
const VARIABLES = `TENANT_ID=${TENANT}
NODE_ID=vm-1
ICP_SERVICE_ADDRESS=${SERVER}
ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH=/etc/icp-agent/trust-bundle.pem
`
const KEPT = ['/var/lib/icp-agent', '/etc/icp-agent']

interface PackageManager {
  readonly format: 'deb' | 'rpm'
  /** Installs, upgrades or downgrades. The machine is a Debian: no rpm is there that another could depend on. */
  readonly install: readonly string[]
  readonly version: readonly string[]
  readonly remove: readonly string[]
  /** Removes configuration and identity, too. */
  readonly purge: readonly string[]
  /** Added by it to the name of a changed configuration file when it removes the package. */
  readonly saved: string
}

const NEXT = '9.0.0'
const BROKEN = '9.0.1'
const RPM = ['rpm', '--force-debian']
const MANAGERS: readonly PackageManager[] = [
  {
    format: 'deb',
    install: ['dpkg', '-i'],
    version: ['dpkg-query', '--show', 'icp-agent'],
    remove: ['dpkg', '--remove', 'icp-agent'],
    purge: ['dpkg', '--purge', 'icp-agent'],
    saved: '',
  },
  {
    format: 'rpm',
    install: [...RPM, '-U', '--oldpackage', '--nodeps'],
    version: [...RPM, '-q', 'icp-agent'],
    remove: [...RPM, '-e', 'icp-agent'],
    purge: ['sh', '-c', 'rpm --force-debian -e icp-agent; rm -rf /etc/icp-agent /var/lib/icp-agent /var/log/icp-agent'],
    saved: '.rpmsave',
  },
]

describe.skipIf((vmObstacle() ?? systemPackagesObstacle()) !== null)('packages on a machine with systemd', () => {
  const work = mkdtempSync(join(tmpdir(), 'icp-packages-test-'))
  const folders: Record<string, string> = {}
  let executable = ''

  beforeAll(() => {
    const first = makeSystemPackages(work)
    executable = join(first, `icp-agent-${basename(first)}-linux-${process.arch}`)
    const broken = join(work, 'broken-program')
    writeFileSync(broken, '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    folders['first'] = first
    for (const [name, version, program] of [
      ['next', NEXT, executable],
      ['broken', BROKEN, broken],
    ] as const) {
      const folder = join(work, name)
      mkdirSync(folder)
      makeOtherPackages(folder, version, program)
      folders[name] = folder
    }
  })
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  describe.each(MANAGERS)('the $format', (manager) => {
    let vm: VmMachine

    beforeAll(async () => {
      vm = await VmMachine.start()
      for (const [name, folder] of Object.entries(folders)) {
        cpSync(packageIn(folder, manager.format), join(vm.root, `opt/${name}.${manager.format}`))
      }
      cpSync(executable, join(vm.root, 'opt/icp'))
      vm.must(['useradd', '--uid', String(WEB), 'web'])
      const icp = devIcpUnit('/opt/dev', `--listen 127.0.0.1:8443 --tenant-id ${TENANT}`)
      writeFileSync(join(vm.root, 'etc/systemd/system/dev-icp.service'), icp)
      vm.must(['systemctl', 'enable', '--quiet', '--now', 'dev-icp.service'])
      await until(() => vm.run(['curl', '-s', '--cacert', '/opt/dev/ca.pem', SERVER]).status === 0)
      const token = file('opt/dev/admin-token').trim()
      const entry = JSON.stringify({ spiffe_id: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': String(WEB) } })
      const headers = ['-H', `Authorization: Bearer ${token}`, '-d', entry]
      vm.must(['curl', '-sSf', '--cacert', '/opt/dev/ca.pem', ...headers, `${SERVER}/v1/entries`])
    })
    afterAll(async () => vm?.[Symbol.asyncDispose]())

    const file = (path: string) => readFileSync(join(vm.root, path), 'utf8')
    const there = (path: string) => existsSync(join(vm.root, path))
    const install = (name: string) =>
      vm.run([...manager.install, `/opt/${name}.${manager.format}`], { env: { DEBIAN_FRONTEND: 'noninteractive' } })
    const installed = (name: string) => {
      const { status, stdout, stderr } = install(name)
      if (status !== 0) throw new Error(`${manager.format}: ${status}\n${stdout}${stderr}`)
      return stderr
    }
    const state = (unit: string) => vm.run(['systemctl', 'is-active', unit]).stdout.trim()
    const enabled = (unit: string) => vm.run(['systemctl', 'is-enabled', unit]).stdout.trim()
    const mainPid = (unit: string) => vm.must(['systemctl', 'show', '-P', 'MainPID', unit]).trim()
    const version = () => vm.must(manager.version)
    const fetched = () => vm.run(['icp-agent', 'api', 'fetch', 'x509', '-o', 'json'], { uid: WEB })
    const identity = () => file('var/lib/icp-agent/agent-identity.json')
    const ready = () => until(() => vm.run(['icp-agent', 'healthcheck']).status === 0)

    it('is refused where install.sh installed the agent', () => {
      mkdirSync(join(vm.root, 'usr/lib/icp-agent'))
      vm.must(['ln', '-s', 'versions/0', '/usr/lib/icp-agent/current'])
      const { status, stderr } = install('first')
      expect([status, stderr]).toEqual([1, expect.stringContaining('sh /usr/lib/icp-agent/current/uninstall.sh')])
      vm.must(['rm', '-r', '/usr/lib/icp-agent'])
      vm.run(manager.purge)
      expect(there('usr/bin/icp-agent')).toBe(false)
    })

    it('is not removed by uninstall.sh, which would leave it half there', () => {
      installed('first')
      copyFileSync('deploy/uninstall.sh', join(vm.root, 'opt/uninstall.sh'))
      const { status, stderr } = vm.run(['sh', '/opt/uninstall.sh', '--purge'])
      expect([status, stderr]).toEqual([1, expect.stringContaining('dpkg --remove icp-agent')])
      for (const path of ['usr/lib/sysusers.d/icp-agent.conf', 'etc/icp-agent/agent.env'])
        expect(there(path)).toBe(true)
      vm.run(manager.purge)
    })

    it('starts nothing before it is configured', () => {
      installed('first')
      for (const unit of ['icp-agent.service', 'icp-agent.socket']) {
        expect([unit, state(unit), enabled(unit)]).toEqual([unit, 'inactive', 'disabled'])
      }
      expect(vm.must(['stat', '-c', '%a %U', '/etc/icp-agent/agent.env', '/run/spire/sockets'])).toBe(
        '600 root\n755 icp-agent\n',
      )
      expect(vm.must(['icp-agent', 'version'])).toContain('icp-agent ')
      for (const path of [
        'man/man1/icp-agent-status.1.gz',
        'man/man5/icp-agent.yaml.5.gz',
        'doc/icp-agent/alerts.yaml',
      ]) {
        expect([path, there(`usr/share/${path}`)]).toEqual([path, true])
      }
      const units = ['icp-agent.service', 'icp-agent.socket', 'icp-agent-files@web.service']
      expect(vm.run(['systemd-analyze', 'verify', '--man=no', ...units])).toEqual({ status: 0, stdout: '', stderr: '' })
    })

    it('serves once it is configured and enabled', async () => {
      cpSync(join(vm.root, 'opt/dev/ca.pem'), join(vm.root, 'etc/icp-agent/trust-bundle.pem'))
      writeFileSync(join(vm.root, 'etc/icp-agent/agent.env'), VARIABLES)
      vm.must(['systemctl', 'enable', '--quiet', '--now', 'icp-agent.service'])
      await ready()
      await until(() => fetched().status === 0)
      expect(fetched().stdout).toContain(`spiffe://${TENANT}/web`)
      vm.must(['systemctl', 'enable', '--quiet', '--now', 'icp-agent-files@web.service'])
      expect(vm.must(['stat', '-c', '%U', '-L', '/run/icp-agent-files/web/svid.pem'])).toBe('web\n')
    })

    it.each([
      ['upgraded', 'next', NEXT],
      ['rolled back', 'first', ''],
    ])('restarts what runs when it is %s, and keeps configuration and identity', async (_, name, expected) => {
      const before = {
        identity: identity(),
        agent: mainPid('icp-agent.service'),
        files: mainPid('icp-agent-files@web'),
      }
      const socket = vm.must(['stat', '-c', '%i', '/run/spire/sockets/agent.sock'])
      expect(installed(name)).not.toContain('warning: icp-agent')
      expect(version()).toContain(expected)
      expect(mainPid('icp-agent.service')).not.toBe(before.agent)
      expect(mainPid('icp-agent-files@web')).not.toBe(before.files)
      await ready()
      expect(fetched().status).toBe(0)
      expect(identity()).toBe(before.identity)
      expect(file('etc/icp-agent/agent.env')).toBe(VARIABLES)
      // systemd holds it: callers wait.
      expect(vm.must(['stat', '-c', '%i', '/run/spire/sockets/agent.sock'])).toBe(socket)
    })

    it('is installed all the same where the new version does not start, says so, and can be rolled back', async () => {
      const before = identity()
      expect(installed('broken')).toContain('journalctl -u icp-agent.service says why')
      expect(version()).toContain(`${BROKEN}-1`)
      vm.run(['systemctl', 'reset-failed', 'icp-agent.service'])
      installed('first')
      vm.must(['systemctl', 'restart', 'icp-agent.service'])
      await ready()
      expect([identity(), fetched().status]).toEqual([before, 0])
    })

    it('is the same node when it is removed and installed again', async () => {
      const before = identity()
      vm.must(manager.remove)
      expect([there('usr/bin/icp-agent'), state('icp-agent.service'), state('icp-agent-files@web')]).toEqual([
        false,
        'inactive',
        'inactive',
      ])
      expect(vm.run(['find', '/etc/systemd/system', '-name', 'icp-agent*']).stdout).toBe('')
      expect(KEPT.filter(there)).toEqual(KEPT)
      installed('first')
      // rpm puts a new file beside what was changed.
      if (manager.saved) vm.must(['mv', `/etc/icp-agent/agent.env${manager.saved}`, '/etc/icp-agent/agent.env'])
      expect(file('etc/icp-agent/agent.env')).toBe(VARIABLES)
      vm.must(['systemctl', 'enable', '--quiet', '--now', 'icp-agent.service'])
      await ready()
      expect(identity()).toBe(before)
    })

    it('leaves neither configuration nor identity when it is purged', () => {
      vm.must(manager.purge)
      expect([...KEPT, '/var/log/icp-agent', '/usr/bin/icp-agent'].filter(there)).toEqual([])
      expect(vm.run(['systemctl', '--failed', '--plain', '--no-legend']).stdout).not.toContain('icp-agent')
    })
  })
})
