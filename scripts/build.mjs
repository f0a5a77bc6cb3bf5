// `npm run build`: compiles to dist/ and makes the command executable.
import './ensure-installed.mjs'
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const command = join(root, 'dist/agent/main/index.js')

rmSync(join(root, 'dist'), { recursive: true, force: true })
// The program, then the types of what package.json exports.
for (const project of ['tsconfig.build.json', 'tsconfig.client.json']) {
  const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', project], {
    cwd: root,
    // All output to stderr, because scripts that build first print their own results to stdout.
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0) process.exit(status ?? 1)
}
if (!readFileSync(command, 'utf8').startsWith('#!/usr/bin/env node\n')) {
  process.stderr.write(`${command} does not begin with #!/usr/bin/env node\n`)
  process.exit(1)
}
chmodSync(command, 0o755)
