import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, built, CLIENTS } from './programs.js'
import { go, type Toolchain } from './toolchains.js'

const DIRECTORY = join(CLIENTS, 'ghostunnel')
const PACKAGE = 'github.com/ghostunnel/ghostunnel'

/** The version that go.mod pins. */
export const GHOSTUNNEL = /ghostunnel v(\S+)/.exec(readFileSync(join(DIRECTORY, 'go.mod'), 'utf8'))?.[1] ?? ''

/** Go with a C compiler, and the sources of all that ghostunnel is made of: not every module proxy has them. */
export function ghostunnelToolchain(): Toolchain {
  const { missing } = go([1, 26])
  if (missing !== null) return { missing }
  if (ask('gcc', '--version') === null) return { missing: 'gcc is not installed' }
  const fetched = ask('go', '-C', DIRECTORY, 'list', '-deps', PACKAGE)
  return { missing: fetched === null ? `ghostunnel ${GHOSTUNNEL} cannot be downloaded` : null }
}

/** The path of the program. */
export async function ghostunnelProgram(): Promise<string> {
  const out = await built('ghostunnel', [join(DIRECTORY, 'go.sum')], (directory) => [
    { argv: ['go', 'build', '-o', join(directory, 'ghostunnel'), PACKAGE], cwd: DIRECTORY },
  ])
  return join(out, 'ghostunnel')
}
