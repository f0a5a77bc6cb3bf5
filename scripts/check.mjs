// `npm run check`: the checks before every commit, in seconds: types, formatting and lint, architecture and documents (as
// tests), generated code against its definitions. They run concurrently; the output of failed ones is shown.
import './ensure-installed.mjs'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name) => join(root, 'node_modules', '.bin', name)

const env = { ...process.env, NO_COLOR: '1', CI: 'true' }

const STEPS = {
  types: () => run(bin('tsc')),
  'lint and format': () => run(bin('biome'), 'check', '--error-on-warnings', '.'),
  'architecture and documents': () => run(bin('vitest'), 'run', 'test/architecture', '--reporter=dot'),
  'generated code': generatedInStep,
}

/** Runs a program to its end; resolves with null, or with its output if it failed. */
function run(command, ...args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    child.on('error', (error) => resolve(String(error)))
    child.on('close', (code) => {
      // Warnings of a passed step are shown too.
      for (const line of output.split('\n')) if (line.startsWith('warning: ')) process.stdout.write(`${line}\n`)
      resolve(code === 0 ? null : output || `exit code ${code}`)
    })
  })
}

async function generatedInStep() {
  const directory = mkdtempSync(join(tmpdir(), 'icp-generated-'))
  try {
    const failure = await run(bin('buf'), 'generate', '--output', directory)
    if (failure !== null) return failure
    const made = tree(join(directory, 'proto/gen'))
    const kept = tree(join(root, 'proto/gen'))
    const paths = [...new Set([...made.keys(), ...kept.keys()])].sort()
    const different = paths.filter((path) => made.get(path) !== kept.get(path))
    if (different.length === 0) return null
    return `Out of step with the .proto files (run npm run generate):\n${different.join('\n')}\n`
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** Path to content of all files below a directory. */
function tree(directory) {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath ?? entry.path, entry.name)
      return [relative(directory, path), readFileSync(path, 'utf8')]
    }),
  )
}

const began = Date.now()
const results = await Promise.all(
  Object.entries(STEPS).map(async ([name, step]) => {
    const failure = await step()
    const seconds = ((Date.now() - began) / 1000).toFixed(1)
    process.stdout.write(`${failure === null ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)\n`)
    return { name, failure }
  }),
)
for (const { name, failure } of results) if (failure !== null) process.stdout.write(`\n── ${name}\n${failure}\n`)
process.exitCode = results.every(({ failure }) => failure === null) ? 0 : 1
