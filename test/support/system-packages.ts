import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why no deb and rpm can be made here; null where they can. */
export function systemPackagesObstacle(): string | null {
  for (const tool of ['dpkg-deb', 'rpm']) if (spawnSync(tool, ['--version']).error) return `${tool} is not installed`
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  return stdout && /go1\.(?:2[5-9]|[3-9]\d)/.test(stdout) ? null : 'nfpm wants Go 1.25 or newer'
}

/** Makes all packages for this machine's architecture; returns the folder with deb and rpm and what they hold. */
export function makeSystemPackages(directory: string, more: readonly string[] = []): string {
  const args = ['scripts/package.mjs', '--out', directory, '--arch', process.arch, ...more]
  execFileSync('node', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  return join(directory, readFileSync(join(directory, 'latest'), 'utf8').trim())
}

export function packageIn(folder: string, format: 'deb' | 'rpm'): string {
  const name = readdirSync(folder).find((file) => file.endsWith(`.${format}`))
  if (name === undefined) throw new Error(`there is no ${format} in ${folder}`)
  return join(folder, name)
}

/** The same deb as another version; `program` takes the place of the executable. */
export function deriveDeb(deb: string, version: string, file: string, program?: string): void {
  const work = mkdtempSync(join(tmpdir(), 'icp-deb-'))
  try {
    const root = join(work, 'root')
    execFileSync('dpkg-deb', ['-R', deb, root])
    const control = join(root, 'DEBIAN/control')
    writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`))
    if (program !== undefined) writeFileSync(join(root, 'usr/bin/icp-agent'), program, { mode: 0o755 })
    execFileSync('dpkg-deb', ['-Zgzip', '-z1', '--root-owner-group', '-b', root, join(work, 'made.deb')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    cpSync(join(work, 'made.deb'), file)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
