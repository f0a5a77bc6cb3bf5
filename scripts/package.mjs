// `npm run package`: everything that is handed out; USAGE has its options. The same sources give the same bytes.
import './ensure-installed.mjs'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bundle, licenses } from './package/bundle.mjs'
import { makeExecutable } from './package/executable.mjs'
import { koffiPackage, NODE_VERSION, nodePackage } from './package/fetch.mjs'
import { makeLinuxPackages } from './package/linux-packages.mjs'
import { makeNpmPackage } from './package/npm-package.mjs'
import { LOCK, MANIFEST, ROOT, say } from './package/paths.mjs'
import { sbom } from './package/sbom.mjs'
import { checkSigning, sign } from './package/sign.mjs'

const USAGE = `Usage: npm run package -- [OPTIONS]

Writes DIR/VERSION: single executables, deb and rpm, the npm package, units and scripts, an SBOM, and SHA256SUMS
over all of it. It downloads Node for each architecture and takes some minutes.

Options:
  --out DIR              default dist/packages
  --arch LIST            default x64,arm64
  --no-linux-packages    leave out deb and rpm, which need Go 1.25 or newer
  --sign KEY             sign SHA256SUMS with this secret key of minisign
  --npm-package FILE     write the npm package alone, to FILE
`

function optionsOf() {
  try {
    const { values } = parseArgs({
      options: {
        out: { type: 'string' },
        arch: { type: 'string' },
        'no-linux-packages': { type: 'boolean' },
        sign: { type: 'string' },
        'npm-package': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${USAGE}`)
    process.exit(2)
  }
}

const values = optionsOf()
if (values.help) {
  process.stdout.write(USAGE)
  process.exit()
}
const npmPackage = values['npm-package']
if (npmPackage !== undefined) {
  const { code, packages } = await bundle()
  const bill = sbom(packages, ['x64', 'arm64'])
  await makeNpmPackage({ code, packages, bill, licenseTexts: licenseTextsOf(packages), file: resolve(npmPackage) })
  process.exit()
}
if (values.sign !== undefined) checkSigning(values.sign)
const out = resolve(values.out ?? join(ROOT, 'dist', 'packages'))
const architectures = (values.arch ?? 'x64,arm64').split(',')
const { version } = MANIFEST

mkdirSync(out, { recursive: true })
const work = mkdtempSync(join(out, '.work-'))
try {
  const { code, packages } = await bundle()
  const bill = sbom(packages, ['x64', 'arm64'])
  writeFileSync(join(work, `icp-agent-${version}.cdx.json`), bill)
  const node = { title: `Node ${NODE_VERSION} (in the single executables)`, folder: nodePackage(architectures[0]) }
  const licenseTexts = licenseTextsOf(packages, [node])
  writeFileSync(join(work, 'THIRD-PARTY-LICENSES'), licenseTexts)
  await makeNpmPackage({ code, packages, bill, licenseTexts, file: join(work, `icp-agent-${version}.tgz`) })
  for (const arch of architectures) {
    koffiPackage(arch)
    const executable = join(work, `icp-agent-${version}-linux-${arch}`)
    makeExecutable(arch, code, executable)
    if (!values['no-linux-packages']) await makeLinuxPackages({ arch, executable, licenseTexts, folder: work })
  }
  for (const file of ['deploy/install.sh', 'deploy/uninstall.sh', 'docs/install/vm.md', ...unitFiles()]) {
    cpSync(join(ROOT, file), join(work, file.slice(file.lastIndexOf('/') + 1)))
  }
  writeFileSync(join(work, 'SHA256SUMS'), sums(work))
  if (values.sign !== undefined) sign(values.sign, join(work, 'SHA256SUMS'), version)
  chmodSync(work, 0o755)
  const place = join(out, version)
  rmSync(place, { recursive: true, force: true })
  renameSync(work, place)
  writeFileSync(join(out, 'latest'), `${version}\n`)
  cpSync(join(ROOT, 'deploy/install.sh'), join(out, 'install.sh'))
  process.stdout.write(readFileSync(join(place, 'SHA256SUMS'), 'utf8'))
  say(`Written to ${place}`)
} finally {
  rmSync(work, { recursive: true, force: true })
}

function licenseTextsOf(packages, more = []) {
  return licenses([
    ...more,
    ...packages.map((path) => ({
      title: `${path.slice(path.lastIndexOf('node_modules/') + 13)} ${LOCK[path].version} (${LOCK[path].license})`,
      folder: join(ROOT, path),
    })),
    { title: 'koffi, native part (MIT)', folder: join(ROOT, 'node_modules/koffi') },
  ])
}

function unitFiles() {
  return readdirSync(join(ROOT, 'systemd')).map((name) => join('systemd', name))
}

function sums(folder) {
  const lines = readdirSync(folder)
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')}  ${name}`,
    )
  return `${lines.join('\n')}\n`
}
