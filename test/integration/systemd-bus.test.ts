import { createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../agent/errors.js'
import { askManager } from '../../attestors/systemd/manager-bus.js'
import { RECORDED } from '../unit/attestors/systemd/recorded-bus.js'
import { TemporaryDirectory } from './support/sockets.js'

const property = (path: string, name: string) => ({ path, interface: 'org.freedesktop.systemd1.Unit', name })
const QUESTIONS = [property('/plain', 'FragmentPath'), property('/plain', 'ControlGroup'), property('/nothing', 'Id')]
const FOREVER = new AbortController().signal

/** A bus that behaves as `serve` does on each connection. */
async function bus(serve: (socket: Socket, received: () => string) => void) {
  const directory = new TemporaryDirectory()
  const path = directory.file('bus')
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let text = ''
    socket.on('error', () => sockets.delete(socket))
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      serve(socket, () => text)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    ask: askManager(path),
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      directory[Symbol.dispose]()
    },
  }
}

/** As dbus-daemon does: a greeting, then what it once sent, in pieces of so many bytes. */
const answers = (pieces: number, recorded: Buffer) => (socket: Socket, received: () => string) => {
  if (received() === '\0AUTH EXTERNAL\r\nDATA\r\n') {
    socket.write('DATA\r\n')
    socket.write('OK 9347b3c63d647295bac645ca6b036901\r\n')
  }
  if (received().includes('\0BEGIN\r\n') || /DATA\r\nBEGIN\r\n/.test(received())) {
    for (let at = 0; at < recorded.length; at += pieces) socket.write(recorded.subarray(at, at + pieces))
  }
}

describe('asking systemd over the bus', () => {
  it.each([1, 7, 100_000])('reads the answers in the order of the questions, in pieces of %i bytes', async (pieces) => {
    await using real = await bus(answers(pieces, RECORDED))
    expect(await real.ask(QUESTIONS, FOREVER)).toEqual(['/etc/systemd/system/plain.service', null, null])
    await expect.poll(() => real.sockets.size).toBe(0)
  })

  it('answers to what was not asked change nothing', async () => {
    await using real = await bus(answers(100_000, RECORDED))
    expect(await real.ask(QUESTIONS.slice(0, 1), FOREVER)).toEqual(['/etc/systemd/system/plain.service'])
  })

  const NO_OWNER = Buffer.from(
    RECORDED.toString('latin1').replace('Error.UnknownProperty', 'Error.AccessDeniedXXX'),
    'latin1',
  )
  it.each<[string, (socket: Socket, received: () => string) => void]>([
    ['refuses the agent', (socket) => socket.write('REJECTED EXTERNAL\r\n')],
    ['hangs up', (socket) => socket.end()],
    ['hangs up in the middle', answers(100_000, RECORDED.subarray(0, 300))],
    ['speaks something else', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['speaks without end', (socket) => socket.write('x'.repeat(5_000))],
    ['sends what is no message', answers(100_000, Buffer.alloc(64, 0x20))],
    ['does not allow the question', answers(100_000, NO_OWNER)],
  ])('a bus that %s is no answer', async (what, serve) => {
    await using odd = await bus((socket, received) => {
      serve(socket, received)
      if (what === 'hangs up in the middle' && received().includes('BEGIN')) socket.end()
    })
    expect(await odd.ask(QUESTIONS, FOREVER).catch(codeOf)).toBe('platform.unavailable')
    await expect.poll(() => odd.sockets.size).toBe(0)
  })

  it('where there is no bus, there is no answer', async () => {
    using directory = new TemporaryDirectory()
    const asked = askManager(directory.file('nothing'))(QUESTIONS, FOREVER)
    expect(await asked.catch(codeOf)).toBe('platform.unavailable')
  })

  it('a bus that says nothing is left when the signal aborts', async () => {
    await using silent = await bus(() => undefined)
    const controller = new AbortController()
    const asked = silent.ask(QUESTIONS, controller.signal).catch((reason: unknown) => reason)
    await expect.poll(() => silent.sockets.size).toBe(1)
    controller.abort('enough')
    expect(await asked).toBe('enough')
    await expect.poll(() => silent.sockets.size).toBe(0)
  })
})
