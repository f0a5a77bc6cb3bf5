import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Makes the packages for this machine's architecture, without deb and rpm, in a directory; returns their version. */
export function makePackages(directory: string, env: Readonly<Record<string, string>> = {}): string {
  const args = ['--out', directory, '--arch', process.arch, '--no-linux-packages']
  execFileSync('node', ['scripts/package.mjs', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return readFileSync(join(directory, 'latest'), 'utf8').trim()
}

/** Another version, made of one that is there; `program` takes the place of the executable. */
export function derive(directory: string, from: string, version: string, program?: string): void {
  const folder = join(directory, version)
  mkdirSync(folder, { recursive: true })
  cpSync(join(directory, from), folder, { recursive: true })
  const name = `icp-agent-${version}-linux-${process.arch}`
  renameSync(join(folder, `icp-agent-${from}-linux-${process.arch}`), join(folder, name))
  if (program !== undefined) writeFileSync(join(folder, name), program, { mode: 0o755 })
  writeFileSync(join(folder, 'vm.md'), `version ${version}\n`)
  const sums = readdirSync(folder)
    .filter((file) => file !== 'SHA256SUMS')
    .map(
      (file) =>
        `${createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex')}  ${file}\n`,
    )
  writeFileSync(join(folder, 'SHA256SUMS'), sums.join(''))
}
