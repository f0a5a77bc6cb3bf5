import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { ClientProcess } from './support/client-process.js'
import { Environment } from './support/environment.js'
import { cell } from './support/matrix.js'
import { pinned, pythonProgram } from './support/python.js'
import { story } from './support/story.js'
import { python } from './support/toolchains.js'

const NAME = 'py-spiffe'
const toolchain = python()

story({
  name: NAME,
  version: pinned('python', 'spiffe'),
  toolchain,
  server: { basicConstraints: true },
  build: () => pythonProgram('python'),
})

describe.skipIf(toolchain.missing !== null)('with SVIDs as the ICP server issues them by default', () => {
  let environment: Environment
  let workload: ClientProcess
  beforeAll(async () => {
    environment = await Environment.open()
    workload = environment.start(await pythonProgram('python'), ['watch'])
  })
  afterAll(() => environment?.[Symbol.asyncDispose]())

  cell(NAME, 'SVID without BasicConstraints', 'refuses an SVID without BasicConstraints', async () => {
    const { error } = await workload.event('x509-ended')
    const [reason] = /Leaf certificate must have BasicConstraints extension/.exec(String(error)) ?? []
    expect(reason, String(error)).toBeDefined()
    return `refused: \`${reason}\``
  })
})
