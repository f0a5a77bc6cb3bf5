import { expect, test } from 'vitest'
import { closeServer } from '../../../agent/lib/close-server.js'

test('a server is closed once its connections are, which are closed at once', async () => {
  const order: string[] = []
  let closed: () => void = () => undefined
  await closeServer({
    close(ended) {
      order.push('closing')
      closed = ended
    },
    closeAllConnections() {
      order.push('connections')
      closed()
    },
  })
  expect(order).toEqual(['closing', 'connections'])
})
