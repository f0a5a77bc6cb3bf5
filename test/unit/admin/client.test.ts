import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AdminClient } from '../../../agent/admin/client.js'
import { temporaryDirectory } from '../../support/agent.js'

test('an agent that accepts and says nothing is told of, and not waited for', async () => {
  await using dir = await temporaryDirectory()
  const path = join(dir.path, 'admin.sock')
  const server = createServer((socket) => void socket.on('error', () => undefined).resume())
  server.listen(path)
  await once(server, 'listening')
  try {
    using client = new AdminClient(path, 20)
    const asked = client.call({ path: '/v1/status', signal: new AbortController().signal })
    await expect(asked).rejects.toMatchObject({
      code: 'admin.unreachable',
      message: expect.stringContaining('accepts, and does not answer'),
    })
  } finally {
    server.close()
  }
})
