import { AgentError } from '../../agent/errors.js'

const LINE_FEED = 0x0a

/**
 * The lines of a body as they arrive, without empty ones. A last line without a line feed was cut off and is dropped. A
 * line of more than `maxBytes` throws `platform.unavailable`.
 */
export async function* linesOf(body: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<string> {
  let kept: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    let from = 0
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, from)) {
      const line = Buffer.concat([...kept, piece.subarray(from, end)])
        .toString('utf8')
        .trim()
      kept = []
      bytes = 0
      from = end + 1
      if (line !== '') yield line
    }
    bytes += piece.length - from
    if (bytes > maxBytes) {
      throw new AgentError('platform.unavailable', `the platform sends a line of more than ${maxBytes} bytes`)
    }
    if (from < piece.length) kept.push(piece.subarray(from))
  }
}
