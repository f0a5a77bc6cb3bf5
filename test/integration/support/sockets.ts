import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import koffi from 'koffi'

/** A directory of its own that is gone afterwards; everybody may look into it. */
export class TemporaryDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'icp-'))
  file(name: string): string {
    return join(this.path, name)
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** The descriptor of a socket, as the listener reads it. */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle === 'object' && handle !== null && 'fd' in handle && typeof handle.fd === 'number') return handle.fd
  throw new Error('the socket has no descriptor')
}

/** A bare Unix socket server that hands out its connections one by one. */
export class Acceptor implements AsyncDisposable {
  readonly #server: Server
  readonly #accepted: Socket[] = []
  readonly #all = new Set<Socket>()
  #wake: (() => void) | undefined

  private constructor() {
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => socket.destroy())
      this.#all.add(socket)
      this.#accepted.push(socket)
      this.#wake?.()
    })
  }

  static async listen(path: string): Promise<Acceptor> {
    const acceptor = new Acceptor()
    await new Promise<void>((resolve) =>
      acceptor.#server.listen({ path, writableAll: true, readableAll: true }, resolve),
    )
    return acceptor
  }

  async next(): Promise<number> {
    for (;;) {
      const socket = this.#accepted.shift()
      if (socket) return descriptorOf(socket)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#all) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** Connects from this very process. */
export function connectHere(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** A listening socket as a service manager makes it: nobody accepts. The caller closes it. */
export function listeningDescriptor(path: string, backlog: number): number {
  const libc = koffi.load(null)
  const fd: number = libc.func('socket', 'int', ['int', 'int', 'int'])(1, 1 | 0o2000000, 0)
  const address = Buffer.alloc(110)
  address.writeUInt16LE(1)
  address.write(path, 2)
  if (libc.func('bind', 'int', ['int', 'void *', 'uint'])(fd, address, 110) !== 0) throw new Error('bind failed')
  if (libc.func('listen', 'int', ['int', 'int'])(fd, backlog) !== 0) throw new Error('listen failed')
  return fd
}
