// npm packages for other machines, which are not installed: fetched by npm, checked against an integrity hash here or in
// package-lock.json, and unpacked once.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE, LOCK, ROOT, say } from './paths.mjs'

/**
 * The release of Node in packages and CI: the newest of a long-term support line that both architectures have. Defined
 * only here.
 */
const NODE = JSON.parse(readFileSync(join(ROOT, 'scripts/package/node.json'), 'utf8'))
export const NODE_VERSION = NODE.version

/** The folder of Node for an architecture; `bin/node` and LICENSE are in it. */
export function nodePackage(arch) {
  return unpacked(`node-linux-${arch}`, NODE_VERSION, NODE.integrity[arch])
}

/** The folder of koffi's prebuilt libraries for an architecture. */
export function koffiPackage(arch) {
  const name = `@koromix/koffi-linux-${arch}`
  const { version, integrity } = LOCK[`node_modules/${name}`]
  return unpacked(name, version, integrity)
}

function unpacked(name, version, integrity) {
  const folder = join(CACHE, `${name.replace('/', '-')}-${version}`)
  if (existsSync(folder)) return folder
  mkdirSync(CACHE, { recursive: true })
  const work = mkdtempSync(join(CACHE, '.work-'))
  try {
    say(`Fetching ${name} ${version}`)
    run('npm', ['pack', '--silent', '--pack-destination', work, `${name}@${version}`], work)
    const file = join(work, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`)
    const found = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`
    if (found !== integrity) throw new Error(`${name} ${version} is not what it was: ${found}, not ${integrity}`)
    run('tar', ['-xzf', file, '-C', work], work)
    renameSync(join(work, 'package'), folder)
    return folder
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Runs a program to its end and returns its stdout; throws with its output if it fails. */
export function run(command, args, cwd, env = process.env) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`)
  return stdout
}
