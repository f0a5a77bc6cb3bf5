// nfpm, which writes deb and rpm: built once from its Go modules. nfpm/go.mod and go.sum pin its dependencies.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './fetch.mjs'
import { CACHE, ROOT, say } from './paths.mjs'

const MODULE = join(ROOT, 'scripts/package/nfpm')
const VERSION = /goreleaser\/nfpm\/v2 (v\S+)/.exec(readFileSync(join(MODULE, 'go.mod'), 'utf8'))?.[1]
/** The version of Go that this nfpm needs. */
const GO = /go1\.(?:2[5-9]|[3-9]\d)/

/** The path of nfpm; null, with a message, if there is no Go to build it. */
export function nfpm() {
  const program = join(CACHE, `nfpm-${VERSION}`)
  if (existsSync(program)) return program
  const { stdout } = spawnSync('go', ['version'], { encoding: 'utf8' })
  if (!stdout || !GO.test(stdout)) {
    say('No deb and no rpm: nfpm, which writes them, is built by Go 1.25 or newer, and that is not installed.')
    return null
  }
  mkdirSync(CACHE, { recursive: true })
  const work = mkdtempSync(join(CACHE, '.work-'))
  try {
    say(`Building nfpm ${VERSION}`)
    const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOTOOLCHAIN: 'local' }
    const args = ['build', '-trimpath', '-ldflags', '-s -w', '-o', join(work, 'nfpm')]
    run('go', [...args, 'github.com/goreleaser/nfpm/v2/cmd/nfpm'], MODULE, env)
    renameSync(join(work, 'nfpm'), program)
    return program
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
