import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { bundle } from './support/bundle.js'
import { TemporaryDirectory } from './support/sockets.js'

describe('the end of the process', () => {
  it('comes at once although a thread hangs in a system call', async () => {
    using directory = new TemporaryDirectory()
    const fifo = directory.file('fifo')
    execFileSync('mkfifo', [fifo])
    const program = await bundle(
      directory.file('program.mjs'),
      `
      import { Worker } from 'node:worker_threads'
      import { exitNow } from './agent/platform/exit-now.js'
      new Worker("require('node:fs').openSync(" + JSON.stringify(process.argv[2]) + ")", { eval: true })
      setTimeout(() => exitNow(7), 100)
      `,
    )
    const child = spawn(process.execPath, [program.path, fifo], { env: program.env, stdio: 'inherit' })
    expect(await once(child, 'exit')).toEqual([7, null])
  })
})
