import { nodeProgram } from './support/node.js'
import { story } from './support/story.js'

const DIALECTS = { spiffe: 'SPIFFE', authsec: 'AuthSec' } as const

for (const dialect of ['spiffe', 'authsec'] as const) {
  story({
    name: `agent/client, ${DIALECTS[dialect]}`,
    version: 'this repository',
    toolchain: { missing: null },
    build: () => nodeProgram(dialect),
  })
}
