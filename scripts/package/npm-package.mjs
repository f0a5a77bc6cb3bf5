// The agent as an npm package without dependencies: the bundle, the native library for both architectures and both C
// libraries, and the library icp-agent/client. `npm install -g FILE` installs the command icp-agent without a registry.
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'
import { writeClientLibrary } from './client-library.mjs'
import { koffiPackage, run } from './fetch.mjs'
import { MANIFEST, ROOT } from './paths.mjs'

export async function makeNpmPackage({ code, packages, bill, licenseTexts, file }) {
  const work = mkdtempSync(join(tmpdir(), 'icp-npm-'))
  try {
    const folder = join(work, 'package')
    mkdirSync(folder)
    const starter = await bundle('packaged-file.ts')
    writeFileSync(join(folder, 'icp-agent.cjs'), starter.code, { mode: 0o755 })
    writeFileSync(join(folder, 'agent.cjs'), code)
    for (const arch of ['x64', 'arm64']) {
      for (const library of ['linux', 'musl']) {
        const place = join(folder, 'native', `${library}_${arch}`)
        mkdirSync(place, { recursive: true })
        cpSync(join(koffiPackage(arch), `${library}_${arch}`, 'koffi.node'), join(place, 'koffi.node'))
      }
    }
    const client = await writeClientLibrary(join(folder, 'client'))
    const unnamed = client.packages.filter((name) => !packages.includes(name))
    if (unnamed.length > 0) throw new Error(`no bill and no licenses name ${unnamed.join(', ')}`)
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
      type: 'module',
      bin: { 'icp-agent': 'icp-agent.cjs' },
      exports: {
        './client': { types: `./client/${client.types}`, default: `./client/${client.main}` },
        './package.json': './package.json',
      },
      engines,
      os: ['linux'],
      cpu: ['x64', 'arm64'],
    }
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
    // npm gives every file of a package the same time, so that equal content gives an equal file.
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
