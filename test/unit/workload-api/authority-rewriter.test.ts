import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AuthorityRewriter, mayNamePath } from '../../../agent/workload-api/authority-rewriter.js'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

function frame(type: number, flags: number, payload: Buffer, stream = 1): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(type === 4 ? 0 : stream, 5)
  return Buffer.concat([header, payload])
}

function settings(...pairs: [id: number, value: number][]): Buffer {
  const payload = Buffer.alloc(6 * pairs.length)
  for (const [index, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, 6 * index)
    payload.writeUInt32BE(value, 6 * index + 2)
  }
  return frame(4, 0, payload)
}

/** A literal field with an indexed name, as RFC 7541 6.2.1 has it; no Huffman code. */
const literal = (index: number, value: string) =>
  Buffer.concat([Buffer.from([0x40 | index, value.length]), Buffer.from(value)])
/** A literal field with a name of its own. */
const named = (name: string, value: string) =>
  Buffer.concat([Buffer.from([0x40, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])

/** What comes out when this goes in, in pieces of these sizes. */
async function through(bytes: Buffer, sizes: readonly number[] = []): Promise<Buffer> {
  const rewriter = new AuthorityRewriter()
  const out: Buffer[] = []
  rewriter.on('data', (chunk: Buffer) => out.push(chunk))
  let at = 0
  for (const size of sizes) {
    rewriter.write(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  rewriter.end(Buffer.from(bytes.subarray(at)))
  await once(rewriter, 'end')
  return Buffer.concat(out)
}

/** What Node's own HTTP/2 client sends for some requests. */
async function recorded(paths: readonly string[], more: Record<string, string>): Promise<Buffer> {
  const sent: Buffer[] = []
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      sent.push(Buffer.from(chunk))
      done()
    },
  })
  const options = { createConnection: () => wire, paddingStrategy: constants.PADDING_STRATEGY_MAX }
  const session = connect('http://localhost', options)
  session.on('error', () => undefined)
  for (const path of paths) session.request({ ':path': path, ...more }).on('error', () => undefined)
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  session.destroy()
  return Buffer.concat(sent)
}

describe('what a client sends', () => {
  const path = '/run/icp-agent/agent.sock'
  const dotted = '.run.icp-agent.agent.sock'
  const block = (authority: string) =>
    Buffer.concat([Buffer.from([0x83, 0x86]), literal(1, authority), named('x-path', '/a/b'), literal(4, '/C/M')])
  const request = (authority: string) => Buffer.concat([PREFACE, settings([3, 0]), frame(1, 4, block(authority))])

  it('keeps its length and loses the slashes of its authority, and no others', async () => {
    expect(await through(request(path))).toEqual(request(dotted))
  })

  it('comes out the same in whatever pieces it comes in', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(sizes, async (pieces) => {
        expect(await through(request(path), pieces)).toEqual(request(dotted))
      }),
    )
  })

  it('may be padded, have a priority, and be continued', async () => {
    const whole = (authority: string) => {
      const fields = block(authority)
      const padding = Buffer.alloc(7, 0x2f)
      const first = Buffer.concat([Buffer.from([padding.length, 0, 0, 0, 0, 16]), fields.subarray(0, 9), padding])
      const parts = [frame(1, 0x28, first), frame(9, 0, fields.subarray(9, 20)), frame(9, 4, fields.subarray(20))]
      return Buffer.concat([PREFACE, settings(), ...parts, frame(0, 1, Buffer.from('/body/'))])
    }
    expect(await through(whole(path), [1, 50, 3])).toEqual(whole(dotted))
  })

  it('passes as it is where its authority can be one, whatever else it says', async () => {
    const bytes = await recorded(['/a/b', '/c', '/a/b'], { 'x-long': '/'.repeat(40_000), te: 'trailers' })
    expect(bytes.length).toBeGreaterThan(20_000)
    expect(await through(bytes, [10, 20, 17_000])).toEqual(bytes)
  })

  it('passes as it is where it is no HTTP/2 at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (noise) => {
        expect(await through(Buffer.from(noise))).toHaveLength(noise.length)
      }),
    )
  })
})

describe('a client that may name a path', () => {
  it('says that it takes no streams', () => {
    expect(mayNamePath(Buffer.concat([PREFACE, settings([2, 0], [3, 0], [4, 1_048_576])]))).toBe(true)
    expect(mayNamePath(Buffer.concat([PREFACE, settings([3, 100])]))).toBe(false)
    expect(mayNamePath(Buffer.concat([PREFACE, settings()]))).toBe(false)
  })

  it('is not the C core of gRPC, which says so too', () => {
    expect(mayNamePath(Buffer.concat([PREFACE, settings([3, 0], [0xfe03, 1])]))).toBe(false)
  })

  it('is not known before its settings are there', () => {
    const begin = Buffer.concat([PREFACE, settings([3, 0])])
    for (let length = 0; length < begin.length; length++) expect(mayNamePath(begin.subarray(0, length))).toBeNull()
  })

  it('speaks HTTP/2', () => {
    expect(mayNamePath(Buffer.from('GET / HTTP/1.1\r\n\r\n'))).toBe(false)
    expect(mayNamePath(Buffer.concat([PREFACE, frame(1, 4, Buffer.alloc(3))]))).toBe(false)
  })
})
