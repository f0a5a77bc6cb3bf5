import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repositoryFiles } from '../architecture/files.js'
import { pinnedNode } from '../support/pinned-node.js'
import { systemPackagesObstacle } from '../support/system-packages.js'

const ARM_LIBRARIES = '/usr/aarch64-linux-gnu'
const qemu = ['qemu-aarch64-static', 'qemu-aarch64'].find((tool) => !spawnSync(tool, ['--version']).error)
const runsArm = process.arch === 'x64' && qemu !== undefined && existsSync(ARM_LIBRARIES)

describe('the packages', () => {
  const work = mkdtempSync(join(tmpdir(), 'icp-packages-'))
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
  const out = join(work, 'first', version)
  const executable = (arch: string) => join(out, `icp-agent-${version}-linux-${arch}`)

  beforeAll(() => {
    // A directory of PATH in which files have the names of tools, but are no programs.
    const odd = join(work, 'odd')
    mkdirSync(odd)
    for (const name of ['aarch64-linux-gnu-strip', 'x86_64-linux-gnu-strip', 'llvm-strip']) {
      writeFileSync(join(odd, name), '', { mode: 0o644 })
    }
    pack(process.cwd(), join(work, 'first'), { PATH: `${odd}:${process.env['PATH']}` })
  })
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  it('are the same bytes when they are made again, in another place', () => {
    // A copy, because somebody may be at work on the sources.
    const [one, another] = [join(work, 'one'), join(work, 'another/place')]
    for (const path of repositoryFiles()) {
      if (!/^(agent|attestors|dev|proto|scripts|systemd|deploy|docs)\/|^[^/]+$/.test(path)) continue
      mkdirSync(join(one, path, '..'), { recursive: true })
      cpSync(path, join(one, path))
    }
    mkdirSync(join(another, '..'))
    execFileSync('cp', ['-r', one, another])
    const sums = [one, another].map((copy) => {
      execFileSync('cp', ['-r', 'node_modules', join(copy, 'node_modules')])
      pack(copy, join(copy, 'out'))
      return readFileSync(join(copy, 'out', version, 'SHA256SUMS'), 'utf8')
    })
    expect(sums[1]).toBe(sums[0])
  })

  it('are all listed in SHA256SUMS', () => {
    const listed = readFileSync(join(out, 'SHA256SUMS'), 'utf8').trimEnd().split('\n')
    const found = readdirSync(out)
      .filter((name) => name !== 'SHA256SUMS')
      .map(
        (name) =>
          `${createHash('sha256')
            .update(readFileSync(join(out, name)))
            .digest('hex')}  ${name}`,
      )
    expect(listed.sort()).toEqual(found.sort())
  })

  it('have a bill of materials that names each package once, with version, hash and license', () => {
    const bill = JSON.parse(readFileSync(join(out, `icp-agent-${version}.cdx.json`), 'utf8'))
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages
    expect([bill.bomFormat, bill.specVersion, bill.metadata.component.version]).toEqual(['CycloneDX', '1.6', version])
    const refs = bill.components.map((component: { 'bom-ref': string }) => component['bom-ref'])
    expect(new Set(refs).size).toBe(refs.length)
    const libraries = bill.components.filter((component: { type: string }) => component.type === 'library')
    for (const { name, hashes, licenses, purl } of libraries) {
      expect([name, hashes?.[0].content.length, licenses?.length]).toEqual([name, 128, 1])
      expect(purl).toMatch(/^pkg:npm\//)
    }
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
    const named = libraries.map(({ group, name }: { group?: string; name: string }) =>
      group ? `${group}/${name}` : name,
    )
    // koffi is there by its native parts.
    expect(named).toEqual(expect.arrayContaining(['@koromix/koffi-linux-x64', '@koromix/koffi-linux-arm64']))
    for (const name of Object.keys(dependencies)) if (name !== 'koffi') expect(named, name).toContain(name)
    for (const { ref, dependsOn } of bill.dependencies) {
      expect(refs.concat(bill.metadata.component['bom-ref'])).toContain(ref)
      for (const other of dependsOn) expect(refs).toContain(other)
    }
    expect(named.some((name: string) => lock[`node_modules/${name}`]?.dev)).toBe(false)
  })

  it('have an executable that needs nothing beside it', () => {
    const { status, stdout, stderr } = spawnSync(executable(process.arch), ['version'], { encoding: 'utf8', env: {} })
    expect([status, stdout, stderr]).toEqual([
      0,
      `icp-agent ${version} (Node ${pinnedNode().version}, linux ${process.arch})\n`,
      '',
    ])
    expect(serves([executable(process.arch)])).toContain('gRPC Workload API Server started')
  })

  it('have an executable in which Node heeds nothing of NODE_OPTIONS but what is harmless', async () => {
    const weak = { NODE_OPTIONS: '--inspect-brk=127.0.0.1:0 --max-old-space-size=300' }
    const version = spawnSync(executable(process.arch), ['version'], { encoding: 'utf8', env: weak, timeout: 60_000 })
    expect([version.status, version.stderr]).toEqual([
      0,
      expect.stringMatching(/^warning .*NODE_OPTIONS \(--inspect-brk\)\n$/),
    ])
    const child = spawn(executable(process.arch), ['api', 'watch', 'x509', '--socket', '/nowhere'], { env: weak })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk
    })
    try {
      const commandLine = () => readFileSync(`/proc/${child.pid}/cmdline`, 'latin1').split('\0')
      await expect.poll(commandLine, { timeout: 30_000 }).toContain('--node-options=--max-old-space-size=300')
      // It watches, and handles signals, once it has said that nobody answers.
      await expect.poll(() => errors, { timeout: 30_000 }).toContain('/nowhere')
      child.kill('SIGUSR1')
      child.kill('SIGTERM')
      expect(await once(child, 'exit')).toEqual([0, null])
      expect(errors).not.toContain('Debugger')
    } finally {
      child.kill('SIGKILL')
    }
  })

  describe.skipIf(systemPackagesObstacle() !== null)('for a package manager', () => {
    const packages = () => readdirSync(out).filter((name) => /\.(?:deb|rpm)$/.test(name))
    const own = { x64: 'x86_64', arm64: 'aarch64' }[process.arch as 'x64' | 'arm64']

    it('are a deb and an rpm for each architecture', () => {
      expect(packages()).toEqual([
        `icp-agent-${version}-1.aarch64.rpm`,
        `icp-agent-${version}-1.x86_64.rpm`,
        `icp-agent_${version}-1_amd64.deb`,
        `icp-agent_${version}-1_arm64.deb`,
      ])
    })

    it('hold the executable, units, pages and completions, whole and as root’s', () => {
      const [root, rpm] = [join(work, 'unpacked'), join(out, `icp-agent-${version}-1.${own}.rpm`)]
      mkdirSync(root)
      const args = ['--root', root, '--nodeps', '--noscripts', '--dbpath', '/rpmdb', '-i', rpm]
      execFileSync('rpm', args)
      const usr = (path: string) => readFileSync(join(root, 'usr', path))
      expect(usr('bin/icp-agent').equals(readFileSync(executable(process.arch)))).toBe(true)
      for (const unit of ['icp-agent.service', 'icp-agent.socket', 'icp-agent-files@.service']) {
        expect([unit, usr(`lib/systemd/system/${unit}`).includes('/usr/lib/icp-agent')]).toEqual([unit, false])
      }
      expect(usr('lib/systemd/system/icp-agent.service').toString()).toContain('ExecStart=/usr/bin/icp-agent --config')
      const manual = ['man1/icp-agent.1.gz', 'man1/icp-agent-api-fetch-x509.1.gz', 'man5/icp-agent.yaml.5.gz']
      for (const page of manual) expect(gunzipSync(usr(`share/man/${page}`)).toString()).toContain('.SH DESCRIPTION')
      for (const shell of ['bash-completion/completions/icp-agent', 'zsh/site-functions/_icp-agent']) {
        expect(usr(`share/${shell}`).toString()).toContain('icp-agent')
      }
      expect(usr('share/doc/icp-agent/dashboard.json').toString()).toBe(
        readFileSync('deploy/monitoring/dashboard.json', 'utf8'),
      )
      const asked = (...query: string[]) => execFileSync('rpm', ['-qp', ...query, rpm], { encoding: 'utf8' })
      expect(asked('--configfiles')).toBe('/etc/icp-agent/agent.env\n/etc/icp-agent/config.yaml\n')
      expect(asked('--requires').split('\n')).toEqual(expect.arrayContaining(['libatomic', 'systemd >= 239']))
      for (const line of asked('-lv').trimEnd().split('\n')) expect(line).toMatch(/ root +root /)
      const scripts = asked('--scripts')
      for (const name of readdirSync('deploy/package')) {
        expect(scripts).toContain(readFileSync(join('deploy/package', name), 'utf8').trimEnd())
      }
    })

    it('have the same files in deb and rpm', () => {
      const listed = (command: string, args: readonly string[]) =>
        execFileSync(command, args, { encoding: 'utf8' }).match(/(?<=\s\.?)\/\S+/g) ?? []
      const arch = process.arch === 'x64' ? 'amd64' : 'arm64'
      const deb = listed('dpkg-deb', ['-c', join(out, `icp-agent_${version}-1_${arch}.deb`)])
      const rpm = listed('rpm', ['-qplv', join(out, `icp-agent-${version}-1.${own}.rpm`)])
      const differs = /zsh|\/copyright$|\/LICENSE$/
      const files = (names: readonly string[]) =>
        names.filter((name) => !name.endsWith('/') && !differs.test(name)).sort()
      expect(files(rpm).filter((name) => !/^\/etc\/icp-agent(?:\/files)?$/.test(name))).toEqual(files(deb))
    })
  })

  it('have an npm package that needs no other package', () => {
    const prefix = join(work, 'prefix')
    const tarball = join(out, `icp-agent-${version}.tgz`)
    execFileSync('npm', ['install', '--offline', '--silent', '--global', '--prefix', prefix, tarball])
    const command = join(prefix, 'bin', 'icp-agent')
    expect(execFileSync(command, ['version'], { encoding: 'utf8' })).toContain(
      `icp-agent ${version} (Node ${process.versions.node}`,
    )
    expect(serves([command])).toContain('gRPC Workload API Server started')
  })

  it('have an npm package that keeps what Node compiles, for its user alone', () => {
    const prefix = join(work, 'compiled')
    const install = ['install', '--offline', '--silent', '--global', '--prefix', prefix]
    execFileSync('npm', [...install, join(out, `icp-agent-${version}.tgz`)])
    const folder = join(prefix, 'lib/node_modules/icp-agent')
    const node = join(
      'node_modules/.cache/icp-package',
      `node-linux-${process.arch}-${pinnedNode().version}`,
      'bin/node',
    )
    execFileSync(node, [join(folder, 'icp-agent.cjs'), 'version'])
    const kept = readdirSync(join(folder, 'compiled'), { recursive: true, withFileTypes: true })
    expect(kept.filter((entry) => entry.isFile())).toHaveLength(1)
    expect(statSync(join(folder, 'compiled')).mode & 0o777).toBe(0o700)
  })

  it.skipIf(!runsArm)('have an executable for arm64 that serves (under emulation)', () => {
    const command = [qemu ?? '', '-L', ARM_LIBRARIES, executable('arm64')]
    expect(execFileSync(command[0] ?? '', [...command.slice(1), 'version'], { encoding: 'utf8' })).toContain(
      'linux arm64',
    )
    expect(serves(command, 30)).toContain('gRPC Workload API Server started')
  })

  /** What an agent says that is started with this command and stopped after some seconds. */
  function serves([program = '', ...args]: readonly string[], seconds = 4): string {
    const directory = mkdtempSync(join(work, 'agent-'))
    const { stdout } = spawnSync('timeout', [String(seconds), program, ...args, 'run'], {
      encoding: 'utf8',
      cwd: directory,
      env: {
        PATH: process.env['PATH'],
        ICP_AGENT_AGENT__TENANT_ID: '11111111-2222-4333-8444-555555555555',
        ICP_AGENT_AGENT__NODE_ID: 'test',
        ICP_AGENT_AGENT__DATA_DIR: join(directory, 'data'),
        ICP_AGENT_AGENT__SOCKET_PATH: join(directory, 'run', 'agent.sock'),
        ICP_AGENT_ICP_SERVICE__ADDRESS: 'https://127.0.0.1:1',
        ICP_AGENT_HEALTH__ENABLED: 'false',
      },
    })
    return stdout
  }
})

function pack(root: string, out: string, env: Readonly<Record<string, string>> = {}): void {
  execFileSync('node', ['scripts/package.mjs', '--out', out], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}
