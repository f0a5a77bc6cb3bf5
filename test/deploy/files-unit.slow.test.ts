import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makePackages } from '../support/packages.js'
import { until } from '../support/until.js'
import { devIcpUnit, VmMachine, vmObstacle } from '../support/vm-machine.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const SERVER = 'https://127.0.0.1:8443/spiresvc'
const UNIT = 'icp-agent-files@web.service'
const OUT = '/run/icp-agent-files/web'

describe.skipIf(vmObstacle() !== null)('icp-agent-files@web.service on a machine with systemd', () => {
  let vm: VmMachine
  const packages = mkdtempSync(join(tmpdir(), 'icp-packages-'))

  beforeAll(async () => {
    makePackages(packages)
    vm = await VmMachine.start()
    cpSync(packages, join(vm.root, 'opt/packages'), { recursive: true })
    const version = JSON.parse(readFileSync('package.json', 'utf8')).version
    cpSync(join(packages, version, `icp-agent-${version}-linux-${process.arch}`), join(vm.root, 'opt/icp'))
    vm.must(['useradd', '--uid', '1500', 'web'])
    const icp = devIcpUnit('/opt/dev', `--listen 127.0.0.1:8443 --tenant-id ${TENANT} --svid-ttl 20s`)
    writeFileSync(join(vm.root, 'etc/systemd/system/dev-icp.service'), icp)
    vm.must(['systemctl', 'enable', '--quiet', '--now', 'dev-icp.service'])
    await until(() => existsSync(join(vm.root, 'opt/dev/ca.pem')))
    await until(() => vm.run(['curl', '-s', '--cacert', '/opt/dev/ca.pem', SERVER]).status === 0)
    const token = readFileSync(join(vm.root, 'opt/dev/admin-token'), 'utf8').trim()
    const entry = { spiffe_id: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': '1500' } }
    const headers = ['-H', `Authorization: Bearer ${token}`, '-d', JSON.stringify(entry)]
    vm.must(['curl', '-sSf', '--cacert', '/opt/dev/ca.pem', ...headers, `${SERVER}/v1/entries`])
    const settings = ['--tenant-id', TENANT, '--icp-server', SERVER, '--node-id', 'vm-1']
    const where = ['--from', '/opt/packages', '--trust-bundle', '/opt/dev/ca.pem']
    vm.must(['sh', '/opt/packages/install.sh', ...where, ...settings])
    mkdirSync(join(vm.root, 'etc/icp-agent/files'), { recursive: true, mode: 0o755 })
    writeFileSync(join(vm.root, 'etc/icp-agent/files/web.yaml'), `run: echo rotated >> ${OUT}/rotations\n`)
    vm.must(['chmod', '755', '/etc/icp-agent', '/etc/icp-agent/files'])
    vm.must(['systemctl', 'daemon-reload'])
  })
  afterAll(async () => {
    await vm?.[Symbol.asyncDispose]()
    rmSync(packages, { recursive: true, force: true })
  })

  it('is started when the files are there, as the user, with the options of its file', async () => {
    const { status } = vm.run(['systemctl', 'start', UNIT])
    if (status !== 0) throw new Error(vm.run(['journalctl', '--no-pager', '-u', UNIT]).stdout)
    expect(vm.must(['stat', '-c', '%U %a', '-L', `${OUT}/svid_key.pem`]).trim()).toBe('web 600')
    const rotations = () => vm.run(['cat', `${OUT}/rotations`]).stdout.split('\n').length - 1
    await until(() => rotations() >= 2)
  })

  it('leaves the files where they are while it is restarted', () => {
    vm.must(['systemctl', 'restart', UNIT])
    expect(vm.must(['systemctl', 'is-active', UNIT]).trim()).toBe('active')
    vm.must(['systemctl', 'stop', UNIT])
    expect(vm.must(['cat', `${OUT}/svid.pem`])).toContain('BEGIN CERTIFICATE')
  })
})
