import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { built, CLIENTS, type Program } from './support/programs.js'
import { story } from './support/story.js'
import { go } from './support/toolchains.js'

const DIRECTORY = join(CLIENTS, 'go')

async function build(): Promise<Program> {
  const out = await built('go', [DIRECTORY], (directory) => [
    { argv: ['go', 'build', '-o', join(directory, 'interop-client'), '.'], cwd: DIRECTORY },
  ])
  return { command: join(out, 'interop-client'), args: [] }
}

story({
  name: 'go-spiffe',
  version: /go-spiffe\/v2 v(\S+)/.exec(readFileSync(join(DIRECTORY, 'go.mod'), 'utf8'))?.[1] ?? '',
  toolchain: go(),
  build,
})
