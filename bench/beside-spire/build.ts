import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const SPIRE_VERSION = '1.15.3'

const FOLDER = join(tmpdir(), `icp-agent-beside-spire-${SPIRE_VERSION}`)

/** SPIRE's server with only the plugins that the comparison uses: others need a module that not every proxy has. */
const SERVER_PLUGINS: Readonly<Record<string, readonly string[]>> = {
  nodeattestor: ['jointoken'],
  upstreamauthority: ['disk'],
  keymanager: ['disk', 'memory'],
  notifier: [],
  bundlepublisher: [],
}

export interface Programs {
  readonly spireAgent: string
  readonly spireServer: string
  readonly loadgen: string
}

/** SPIRE and the load generator, built once per machine from the Go module proxy: some three minutes on two cores. */
export function buildPrograms(root: string): Programs {
  const folder = FOLDER
  mkdirSync(folder, { recursive: true })
  const programs = {
    spireAgent: join(folder, 'spire-agent'),
    spireServer: join(folder, 'spire-server'),
    loadgen: join(folder, 'loadgen'),
  }
  if (!existsSync(programs.spireAgent) || !existsSync(programs.spireServer)) buildSpire(folder, programs)
  buildLoadgen(root)
  return programs
}

/** Builds only the load generator; returns its path. */
export function buildLoadgen(root: string): string {
  mkdirSync(FOLDER, { recursive: true })
  const program = join(FOLDER, 'loadgen')
  go(['build', '-o', program, '.'], join(root, 'bench/beside-spire/loadgen'))
  return program
}

function buildSpire(folder: string, programs: Programs): void {
  const downloaded = go(['mod', 'download', '-json', `github.com/spiffe/spire@v${SPIRE_VERSION}`], folder)
  const { Dir } = JSON.parse(downloaded) as { Dir: string }
  const sources = join(folder, 'sources')
  rmSync(sources, { recursive: true, force: true })
  cpSync(Dir, sources, { recursive: true })
  execFileSync('chmod', ['-R', 'u+w', sources])
  go(['build', '-o', `${programs.spireAgent}.new`, './cmd/spire-agent'], sources)
  for (const [kind, kept] of Object.entries(SERVER_PLUGINS)) leaveOutPlugins(sources, kind, kept)
  // For SQLite, which is C.
  go(['build', '-o', `${programs.spireServer}.new`, './cmd/spire-server'], sources, { CGO_ENABLED: '1' })
  for (const path of [programs.spireAgent, programs.spireServer]) renameSync(`${path}.new`, path)
  rmSync(sources, { recursive: true })
}

/** Removes imports and registrations of all other plugins of a kind from the server's catalogue. */
function leaveOutPlugins(sources: string, kind: string, kept: readonly string[]): void {
  const path = join(sources, 'pkg/server/catalog', `${kind}.go`)
  const imported = new RegExp(`"github.com/spiffe/spire/pkg/server/plugin/${kind}/([a-z0-9]+)"`)
  const lines = readFileSync(path, 'utf8').split('\n')
  const left = lines.filter((line) => {
    const name = imported.exec(line)?.[1] ?? /^\s+([a-z0-9]+)\.BuiltIn\(\),/.exec(line)?.[1]
    return name === undefined || kept.includes(name) || (kind === 'upstreamauthority' && name.startsWith('spire'))
  })
  writeFileSync(path, left.join('\n'))
}

function go(args: readonly string[], cwd: string, more: Readonly<Record<string, string>> = {}): string {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod -buildvcs=false', ...more }
  return execFileSync('go', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1e8 })
}
