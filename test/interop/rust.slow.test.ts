import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { refusesBareSvids } from './support/bare-story.js'
import { built, CLIENTS, type Program, run } from './support/programs.js'
import { story } from './support/story.js'
import { cargo } from './support/toolchains.js'

const DIRECTORY = join(CLIENTS, 'rust')

async function build(): Promise<Program> {
  // Only the dependencies take long: cargo itself sees what changed of the rest.
  const out = await built('rust', [join(DIRECTORY, 'Cargo.lock')], () => [])
  await run('nice', ['cargo', 'build', '--quiet', '--locked', '--target-dir', out], { cwd: DIRECTORY })
  return { command: join(out, 'debug', 'interop-client'), args: [] }
}

const client = {
  name: 'Rust `spiffe`',
  version: /^spiffe = .*"=([^"]+)"/m.exec(readFileSync(join(DIRECTORY, 'Cargo.toml'), 'utf8'))?.[1] ?? '',
  toolchain: cargo(),
  server: { basicConstraints: true },
  build,
}

story(client)
refusesBareSvids(client, { mode: 'fetch', event: 'x509-error', words: /X\.509 extension is missing/ })
