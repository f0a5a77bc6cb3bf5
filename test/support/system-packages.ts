import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
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

/** Makes deb and rpm alone, of another version and with another program, into an existing folder. */
export function makeOtherPackages(folder: string, version: string, executable: string): void {
  const options = JSON.stringify({ arch: process.arch, executable, licenseTexts: '', folder, version })
  const script = `import('./scripts/package/linux-packages.mjs').then((m) => m.makeLinuxPackages(${options}))`
  execFileSync('node', ['-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
}
