import type { ChildProcess } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { credentials, newCa } from '../integration/support/https-server.js'
import { derive, makePackages } from '../support/packages.js'
import { until } from '../support/until.js'
import { devIcpUnit, VmMachine, vmObstacle } from '../support/vm-machine.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const SERVER = 'https://127.0.0.1:8443/spiresvc'
const FROM = 'https://localhost:8444'
const OLDER = '/etc/spire-agent'

/** As the older agent's documentation had them. */
const OLDER_CONFIG = `agent:
  tenant_id: "\${TENANT_ID}"
  node_id: "\${NODE_ID}"
  data_dir: /var/lib/spire-agent
  socket_path: /run/spire/sockets/agent.sock
  renewal_threshold: 6h
  trust_domain: example.org
icp_service:
  address: "\${ICP_SERVICE_ADDRESS}"
  trust_bundle_path: /etc/spire-agent/trust-bundle.pem
attestation:
  type: unix
  unix:
    method: procfs
security:
  cache_encryption_key: ""
  cache_path: /var/lib/spire-agent/cache/svid.cache # of the older agent
logging:
  level: "\${LOG_LEVEL}"
  format: json
  file_path: ""
health:
  enabled: true
  port: 8080
`
const OLDER_VARIABLES = `TENANT_ID=${TENANT}\nNODE_ID=older-1\nICP_SERVICE_ADDRESS="${SERVER}"\nLOG_LEVEL=info\n`

/** Files over HTTPS, for as long as nobody ends it. */
const FILE_SERVER = `
const { createReadStream, readFileSync } = require('node:fs')
const [root, cert, key] = process.argv.slice(1)
require('node:https').createServer({ cert: readFileSync(cert), key: readFileSync(key) }, ({ url }, answer) => {
  const file = createReadStream(root + url)
  file.once('error', () => answer.writeHead(404).end())
  file.once('open', () => file.pipe(answer))
}).listen(8444, '127.0.0.1', () => console.log('listening'))`

describe.skipIf(vmObstacle() !== null)('on a machine that has the older agent', () => {
  const work = mkdtempSync(join(tmpdir(), 'icp-older-'))
  const packages = join(work, 'packages')
  let vm: VmMachine
  let version: string
  let files: ChildProcess | undefined

  beforeAll(async () => {
    version = makePackages(packages)
    derive(packages, version, '9.0.0')
    vm = await VmMachine.start()
    cpSync(join(packages, version, `icp-agent-${version}-linux-${process.arch}`), join(vm.root, 'opt/icp'))
    writeFileSync(
      join(vm.root, 'etc/systemd/system/dev-icp.service'),
      devIcpUnit('/opt/dev', `--listen 127.0.0.1:8443 --tenant-id ${TENANT} --generation workspace`),
    )
    vm.must(['systemctl', 'enable', '--quiet', '--now', 'dev-icp.service'])
    await until(() => vm.run(['curl', '-s', '--cacert', '/opt/dev/ca.pem', SERVER]).status === 0)
    files = await servePackages()
    writeFileSync(join(vm.root, 'etc/systemd/system/spire-agent.service'), '[Service]\nExecStart=/usr/bin/sleep 1000\n')
    mkdirSync(join(vm.root, OLDER))
    writeFileSync(join(vm.root, OLDER, 'config.yaml'), OLDER_CONFIG)
    writeFileSync(join(vm.root, OLDER, 'agent.env'), OLDER_VARIABLES, { mode: 0o600 })
    cpSync(join(vm.root, 'opt/dev/ca.pem'), join(vm.root, OLDER, 'trust-bundle.pem'))
    // Tools that are not everywhere.
    for (const tool of ['usr/bin/systemd-sysusers', 'usr/bin/cmp']) {
      if (existsSync(join(vm.root, tool))) renameSync(join(vm.root, tool), join(vm.root, `${tool}.away`))
    }
  })

  afterAll(async () => {
    files?.kill('SIGKILL')
    await vm?.[Symbol.asyncDispose]()
    rmSync(work, { recursive: true, force: true })
  })

  const file = (path: string) => readFileSync(join(vm.root, path), 'utf8')
  const modeOf = (path: string) => vm.must(['stat', '-c', '%a %U', path]).trim()
  /** As the documentation has it: fetched and run in one line, by bash. */
  const quickInstall = (args: string, shell = 'bash') =>
    vm.run(['sh', '-c', `curl -fsSL "$ICP_AGENT_FROM/install.sh" | ${shell} -s -- --from "$ICP_AGENT_FROM" ${args}`], {
      env: { ICP_AGENT_FROM: FROM },
    })
  const admin = (path: string, body: string) => {
    const token = file('opt/dev/admin-token').trim()
    const headers = ['-H', `Authorization: Bearer ${token}`, '-d', body]
    return JSON.parse(vm.must(['curl', '-sSf', '--cacert', '/opt/dev/ca.pem', ...headers, `${SERVER}${path}`]))
  }
  const joinToken = (): string => {
    const text = JSON.stringify(admin('/v1/join-tokens', '{"ttl_seconds":600}'))
    return /"(?:token|secret|join_token)":"([^"]+)"/.exec(text)?.[1] ?? text
  }
  const journal = () => vm.must(['journalctl', '-o', 'cat', '--no-pager'])
  /** Nothing of a token where others can look. */
  const hidden = (token: string) => {
    expect(journal()).not.toContain(token)
    expect(vm.must(['ps', '-eo', 'args'])).not.toContain(token)
    expect(file('etc/icp-agent/agent.env')).not.toContain(token)
    expect(modeOf('/etc/icp-agent/join-token')).toBe('600 root')
    expect(file('etc/icp-agent/join-token').trim()).toBe(token)
  }

  it('does not take its socket from it', () => {
    vm.must(['systemctl', 'start', 'spire-agent.service'])
    vm.must([
      'systemd-run',
      '--quiet',
      '--unit=older-socket',
      '--socket-property=ListenStream=/run/spire/sockets/agent.sock',
      'true',
    ])
    const { status, stderr } = quickInstall('--check')
    expect([status, stderr]).toEqual([1, expect.stringContaining('systemctl disable --now spire-agent.service')])
    vm.must(['systemctl', 'stop', 'older-socket.socket'])
    vm.must(['rm', '-rf', '/run/spire'])
    vm.must(['systemctl', 'disable', '--quiet', '--now', 'spire-agent.service'])
  })

  it('takes its files over, by what is fetched over HTTPS, and joins with the token of a file', async () => {
    const token = joinToken()
    writeFileSync(join(vm.root, 'root/token'), `${token}\n`, { mode: 0o644 })
    const { status, stdout, stderr } = quickInstall(`--version ${version} --join-token-file /root/token`)
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Taking over /etc/spire-agent/config.yaml')
    expect(stdout).toContain('Instead of /var/lib/spire-agent (data_dir) the agent uses /var/lib/icp-agent')
    expect(stdout).toContain('Instead of /etc/spire-agent/trust-bundle.pem (trust_bundle_path)')
    expect(file('etc/icp-agent/config.yaml')).toBe(OLDER_CONFIG)
    expect(modeOf('/etc/icp-agent/trust-bundle.pem')).toBe('644 root')
    expect([modeOf('/etc/icp-agent/config.yaml'), modeOf('/etc/icp-agent/agent.env')]).toEqual(['600 root', '600 root'])
    expect(existsSync(join(vm.root, 'var/lib/spire-agent'))).toBe(false)
    expect(file('var/lib/icp-agent/agent-identity.json')).toContain('older-1')
    hidden(token)
    expect(vm.must(['id', '-u', 'icp-agent'])).toMatch(/^\d+\n$/)
  })

  it('is told what its configuration says that no longer exists', () => {
    const said = journal()
      .split('\n')
      .filter((line) => line.includes('Configuration warning'))
    expect(said.some((line) => line.includes('agent.trust_domain'))).toBe(true)
  })

  it('takes a token from the command line, and shows it to nobody afterwards', () => {
    const token = joinToken()
    expect(quickInstall(`--version 9.0.0 --join-token ${token}`, 'sh')).toMatchObject({ status: 0, stderr: '' })
    hidden(token)
  })

  it('notices that nothing has changed, also without cmp', () => {
    expect(quickInstall('--version 9.0.0').stdout).toContain('nothing has changed')
  })

  it('leaves the files of the older agent where they are', () => {
    expect(file(`${OLDER}/config.yaml`)).toBe(OLDER_CONFIG)
    expect(file(`${OLDER}/agent.env`)).toBe(OLDER_VARIABLES)
  })

  it('needs nothing of them: without that folder it trusts the server as before', async () => {
    vm.must(['rm', '-r', OLDER])
    vm.must(['systemctl', 'restart', 'icp-agent.service'])
    const status = () => JSON.parse(vm.run(['curl', '-s', 'http://127.0.0.1:8080/status']).stdout || '{}')
    await until(() => status().sync?.last_success)
    expect(status().components.icp_service.status).toBe('healthy')
  })

  it('leaves no configuration behind when it is purged', () => {
    expect(vm.run(['sh', '/usr/lib/icp-agent/current/uninstall.sh', '--purge']).status).toBe(0)
    expect(existsSync(join(vm.root, 'etc/icp-agent'))).toBe(false)
  })

  /** From the machine that this runs on, by an authority that the other is told to trust. */
  async function servePackages(): Promise<ChildProcess> {
    const ca = await newCa('packages')
    const tls = await credentials(ca, { names: [{ type: 'dns', value: 'localhost' }], subject: 'server' })
    const paths = ['certificate', 'key'].map((name) => join(work, name)) as [string, string]
    writeFileSync(paths[0], tls.certificate)
    writeFileSync(paths[1], tls.key)
    writeFileSync(join(vm.root, 'usr/local/share/ca-certificates/packages.crt'), ca.pem)
    vm.must(['update-ca-certificates'])
    const server = vm.spawnBeside([process.execPath, '-e', FILE_SERVER, packages, ...paths])
    await new Promise((resolve, reject) => {
      server.stdout?.once('data', resolve)
      server.once('exit', () => reject(new Error('the packages are not served')))
    })
    return server
  }
})
