// The agent as an npm package that needs no other: the bundle, and the native part for both architectures and both C
// libraries. `npm install -g FILE` gives the command icp-agent; no registry is asked.
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { koffiPackage, run } from './fetch.mjs'
import { MANIFEST, ROOT } from './paths.mjs'

export function makeNpmPackage({ code, bill, licenseTexts, file }) {
  const work = mkdtempSync(join(tmpdir(), 'icp-npm-'))
  try {
    const folder = join(work, 'package')
    mkdirSync(folder)
    writeFileSync(join(folder, 'icp-agent.cjs'), code, { mode: 0o755 })
    for (const arch of ['x64', 'arm64']) {
      for (const library of ['linux', 'musl']) {
        const place = join(folder, 'native', `${library}_${arch}`)
        mkdirSync(place, { recursive: true })
        cpSync(join(koffiPackage(arch), `${library}_${arch}`, 'koffi.node'), join(place, 'koffi.node'))
      }
    }
    for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md'])
      cpSync(join(ROOT, name), join(folder, name))
    writeFileSync(join(folder, 'THIRD-PARTY-LICENSES'), licenseTexts)
    writeFileSync(join(folder, 'sbom.cdx.json'), bill)
    const { name, version, description, license, homepage, repository, bugs, keywords, engines } = MANIFEST
    const manifest = {
      name,
      version,
      description,
      license,
      homepage,
      repository,
      bugs,
      keywords,
      bin: { 'icp-agent': 'icp-agent.cjs' },
      engines,
      os: ['linux'],
      cpu: ['x64', 'arm64'],
    }
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    // npm gives every file of a package the same time, so that the same content is the same file.
    run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', work], folder)
    renameOver(join(work, `${name}-${version}.tgz`), file)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function renameOver(from, to) {
  cpSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}
