import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { built, CLIENTS, type Program } from './programs.js'

const DIRECTORY = join(CLIENTS, 'go')

/** The version of go-spiffe that go.mod pins. */
export const GO_SPIFFE = /go-spiffe\/v2 v(\S+)/.exec(readFileSync(join(DIRECTORY, 'go.mod'), 'utf8'))?.[1] ?? ''

export async function goProgram(): Promise<Program> {
  const out = await built('go', [DIRECTORY], (directory) => [
    { argv: ['go', 'build', '-o', join(directory, 'interop-client'), '.'], cwd: DIRECTORY },
  ])
  return { command: join(out, 'interop-client'), args: [] }
}
