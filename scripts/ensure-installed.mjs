// Installs the dependencies if they are missing or differ from package-lock.json; otherwise does nothing, quickly. Plain
// Node without dependencies, because it runs first on a fresh checkout. All output goes to stderr.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const OLDEST_NODE = [20, 19]

/** Why an installation is needed, or null. */
function reason() {
  const wanted = packages('package-lock.json')
  if (wanted === null) return 'package-lock.json is missing'
  const installed = packages('node_modules/.package-lock.json')
  if (installed === null) return 'the dependencies are not installed'
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === '') continue
    const found = installed[path]
    // npm leaves out optional packages of other platforms.
    if (found === undefined ? !optional : found.version !== version)
      return `${path} is out of step with package-lock.json`
  }
  return null
}

function packages(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages ?? null
  } catch {
    return null
  }
}

function say(text) {
  process.stderr.write(`${text}\n`)
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  say(`Node ${process.versions.node} is too old: ${OLDEST_NODE.join('.')} or newer is needed.`)
  process.exit(1)
}

const why = reason()
if (why !== null) {
  say(`Installing: ${why}.`)
  // npm passes its own path to scripts; that npm belongs to this Node.
  const npm = process.env.npm_execpath
  const command = npm?.endsWith('.js') ? [process.execPath, npm] : ['npm']
  const result = spawnSync(command[0], [...command.slice(1), 'ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  if (result.status !== 0) {
    say('npm ci failed; the lines above say why (network, proxy, disk). Nothing else can run without it.')
    process.exit(1)
  }
}
