// deb and rpm: the executable with its units, configuration, man pages, completions, dashboard and alerts.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { run } from './fetch.mjs'
import { manual } from './manual.mjs'
import { nfpm } from './nfpm.mjs'
import { MANIFEST, ROOT } from './paths.mjs'

const SUMMARY = 'SPIFFE node agent for the AuthSec ICP server'
const UNITS = '/usr/lib/systemd/system'
const DOC = '/usr/share/doc/icp-agent'
/** The same time as in npm packages, so that the same sources give the same bytes. */
const TIME = '1985-10-26T08:15:00Z'
const GO_ARCH = { x64: 'amd64', arm64: 'arm64' }
/** glibc and the libraries that Node links to. */
const DEPENDS = {
  deb: ['libc6 (>= 2.28)', 'libgcc-s1', 'libstdc++6', 'libatomic1', 'systemd (>= 239)'],
  rpm: ['glibc >= 2.28', 'libgcc', 'libstdc++', 'libatomic', 'systemd >= 239'],
}
const ZSH = { deb: 'vendor-completions', rpm: 'site-functions' }

/**
 * Writes both packages of an architecture into a folder. `executable`: its file; `version`: for tests, which upgrade.
 * False if nfpm is not available.
 */
export async function makeLinuxPackages({ arch, executable, licenseTexts, folder, version = MANIFEST.version }) {
  const program = nfpm()
  if (program === null) return false
  const work = mkdtempSync(join(tmpdir(), 'icp-linux-'))
  try {
    const text = writer(work)
    const common = [
      { src: executable, dst: '/usr/bin/icp-agent', file_info: { mode: 0o755 } },
      ...units(text),
      ...configuration(),
      ...documents(text, licenseTexts),
    ]
    const { pages, completions } = await manual()
    for (const [name, page] of pages) {
      common.push(plain(text(`${name}.gz`, compressed(page)), `/usr/share/man/man${name.at(-1)}/${name}.gz`))
    }
    common.push(plain(text('bash', completions.bash), '/usr/share/bash-completion/completions/icp-agent'))
    common.push(plain(text('fish', completions.fish), '/usr/share/fish/vendor_completions.d/icp-agent.fish'))
    const zsh = text('zsh', completions.zsh)
    for (const format of ['deb', 'rpm']) {
      const contents = [...common, plain(zsh, `/usr/share/zsh/${ZSH[format]}/_icp-agent`), license(text, format)]
      const described = description(GO_ARCH[arch], format, version, contents)
      const config = text(`nfpm-${format}.json`, JSON.stringify(described))
      const env = { ...process.env, SOURCE_DATE_EPOCH: String(Date.parse(TIME) / 1000) }
      run(program, ['package', '--config', config, '--packager', format, '--target', `${folder}/`], work, env)
    }
    return true
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function description(arch, format, version, contents) {
  const script = (name) => join(ROOT, 'deploy/package', name)
  return {
    name: 'icp-agent',
    arch,
    platform: 'linux',
    version,
    version_schema: 'semver',
    release: '1',
    section: 'admin',
    priority: 'optional',
    maintainer: 'The icp-agent authors <https://github.com/authsec-ai/icp-agent/issues>',
    vendor: 'AuthSec',
    description: `${SUMMARY}\n${MANIFEST.description.replace(', ', ',\n')}`,
    homepage: 'https://github.com/authsec-ai/icp-agent',
    license: MANIFEST.license,
    mtime: TIME,
    umask: 0o022,
    depends: DEPENDS[format],
    contents,
    scripts: {
      preinstall: script('before-install.sh'),
      postinstall: script('after-install.sh'),
      preremove: script('before-remove.sh'),
      postremove: script('after-remove.sh'),
    },
    deb: { compression: 'gzip' },
    rpm: { compression: 'gzip', buildhost: 'localhost', summary: SUMMARY },
  }
}

/** A unit of systemd/, with the program's path in packages. */
function units(text) {
  const unit = (name) => {
    const source = readFileSync(join(ROOT, 'systemd', name), 'utf8')
    const moved = source
      .replaceAll('/usr/lib/icp-agent/current/icp-agent', '/usr/bin/icp-agent')
      .replaceAll('file:///usr/lib/icp-agent/current/vm.md', 'man:icp-agent(1)')
      .replaceAll('docs/install/vm.md', `${DOC}/vm.md`)
    if (moved.includes('/usr/lib/icp-agent')) throw new Error(`${name} names a path that packages do not have`)
    return plain(text(name, moved), `${UNITS}/${name}`)
  }
  return [
    unit('icp-agent.service'),
    unit('icp-agent.socket'),
    unit('icp-agent-files@.service'),
    plain(join(ROOT, 'systemd/icp-agent.sysusers.conf'), '/usr/lib/sysusers.d/icp-agent.conf'),
    plain(join(ROOT, 'systemd/icp-agent.tmpfiles.conf'), '/usr/lib/tmpfiles.d/icp-agent.conf'),
  ]
}

/** Configuration files, whose changes are kept at an upgrade. */
function configuration() {
  const config = (name, dst, mode) => ({
    src: join(ROOT, 'systemd', name),
    dst: `/etc/icp-agent/${dst}`,
    type: 'config|noreplace',
    file_info: { mode },
  })
  return [
    { dst: '/etc/icp-agent', type: 'dir', file_info: { mode: 0o755 } },
    { dst: '/etc/icp-agent/files', type: 'dir', file_info: { mode: 0o755 } },
    config('config.yaml', 'config.yaml', 0o644),
    config('agent.env.example', 'agent.env', 0o600),
  ]
}

function documents(text, licenseTexts) {
  const files = ['docs/install/vm.md', 'deploy/monitoring/alerts.yaml', 'deploy/monitoring/dashboard.json']
  return [
    ...files.map((file) => plain(join(ROOT, file), `${DOC}/${basename(file)}`)),
    plain(text('licenses.gz', compressed(licenseTexts)), `${DOC}/THIRD-PARTY-LICENSES.gz`),
    plain(text('changelog.gz', compressed(readFileSync(join(ROOT, 'CHANGELOG.md')))), `${DOC}/CHANGELOG.md.gz`),
  ]
}

function license(text, format) {
  if (format === 'rpm') return plain(join(ROOT, 'LICENSE'), '/usr/share/licenses/icp-agent/LICENSE')
  const copyright = `ICP Agent
Copyright: 2025-2026 The icp-agent authors
License: ${MANIFEST.license}; on Debian it is in /usr/share/common-licenses/Apache-2.0.
What the executable holds of others has the licenses in THIRD-PARTY-LICENSES.gz.
`
  return plain(text('copyright', copyright), `${DOC}/copyright`)
}

function plain(src, dst) {
  return { src, dst, file_info: { mode: 0o644 } }
}

function writer(work) {
  const folder = join(work, 'files')
  mkdirSync(folder)
  return (name, content) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
}

/** Compressed without a time or a name. */
function compressed(content) {
  return gzipSync(content, { level: 9 })
}
