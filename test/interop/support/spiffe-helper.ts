import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, built, CLIENTS, type Program } from './programs.js'
import { go, type Toolchain } from './toolchains.js'

const DIRECTORY = join(CLIENTS, 'spiffe-helper')
const PACKAGE = 'github.com/spiffe/spiffe-helper/cmd/spiffe-helper'

/** The version that go.mod pins. */
export const SPIFFE_HELPER = /spiffe-helper v(\S+)/.exec(readFileSync(join(DIRECTORY, 'go.mod'), 'utf8'))?.[1] ?? ''

/** Go, and the sources of all that the helper is made of: not every module proxy has them. */
export function helperToolchain(): Toolchain {
  const { missing } = go([1, 25])
  if (missing !== null) return { missing }
  const fetched = ask('go', '-C', DIRECTORY, 'list', '-deps', PACKAGE)
  return { missing: fetched === null ? `spiffe-helper ${SPIFFE_HELPER} cannot be downloaded` : null }
}

/** Tells what the helper leaves in its files. */
export async function helperProgram(): Promise<Program> {
  const out = await built('spiffe-helper', [join(DIRECTORY, 'go.sum')], (directory) => [
    { argv: ['go', 'build', '-o', join(directory, 'spiffe-helper'), PACKAGE], cwd: DIRECTORY },
  ])
  return { command: process.execPath, args: [join(DIRECTORY, 'main.mjs'), join(out, 'spiffe-helper')] }
}
