import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { built, CLIENTS, type Program } from './support/programs.js'
import { story } from './support/story.js'
import { cargo } from './support/toolchains.js'

const DIRECTORY = join(CLIENTS, 'rust')

async function build(): Promise<Program> {
  const sources = ['Cargo.toml', 'Cargo.lock', 'src'].map((name) => join(DIRECTORY, name))
  const out = await built('rust', sources, (target) => [
    { argv: ['cargo', 'build', '--quiet', '--locked', '--target-dir', target], cwd: DIRECTORY },
  ])
  return { command: join(out, 'debug', 'interop-client'), args: [] }
}

story({
  name: 'Rust `spiffe`',
  version: /^spiffe = .*"=([^"]+)"/m.exec(readFileSync(join(DIRECTORY, 'Cargo.toml'), 'utf8'))?.[1] ?? '',
  toolchain: cargo(),
  build,
})
