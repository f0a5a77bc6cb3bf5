import { AgentError } from '../errors.js'

/** Labels of RFC 7468 that the agent reads. */
export type PemLabel = 'CERTIFICATE' | 'PRIVATE KEY' | 'RSA PRIVATE KEY'

export interface PemLimits {
  /** Longest text in characters; default 1 MiB. */
  readonly maxLength?: number
  /** Limit of blocks with the label; default 1024. */
  readonly maxBlocks?: number
}

const LINE = /^[A-Za-z0-9+/]+={0,2}$/
const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,40})-----$/

/**
 * The DER of every block with the label, in order (RFC 7468). Text outside blocks and blocks with other labels are
 * skipped; an unterminated block, one that is empty, nested, encrypted or not base64 is an error, as is a text beyond
 * the limits. No block at all gives an empty list. Throws `svid.invalid`; the message never quotes the text.
 */
export function derFromPem(text: string, label: PemLabel, limits: PemLimits = {}): Uint8Array[] {
  const { maxLength = 1_048_576, maxBlocks = 1024 } = limits
  if (text.length > maxLength) throw invalid(`it is longer than ${maxLength} characters`)
  const blocks: Uint8Array[] = []
  let open: { label: string; lines: string[] } | null = null
  for (const raw of text.split('\n')) {
    const line = raw.trim()
    const begin = BEGIN.exec(line)?.[1]
    if (begin !== undefined) {
      if (open) throw invalid('a block begins inside another')
      open = { label: begin, lines: [] }
    } else if (open && line === `-----END ${open.label}-----`) {
      if (open.label === label) blocks.push(decode(open.lines))
      if (blocks.length > maxBlocks) throw invalid(`it holds more than ${maxBlocks} blocks`)
      open = null
    } else if (open && line !== '') {
      open.lines.push(line)
    }
  }
  if (open) throw invalid('a block does not end')
  return blocks
}

/** One block with 64 characters per line, ending with a line feed. */
export function pemFromDer(der: Uint8Array, label: PemLabel): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** The blocks of several certificates, one after the other. */
export function certificatesPem(ders: Iterable<Uint8Array>): string {
  return [...ders].map((der) => pemFromDer(der, 'CERTIFICATE')).join('')
}

function decode(lines: readonly string[]): Uint8Array {
  const body = lines.join('')
  if (body === '') throw invalid('a block is empty')
  // Buffer.from skips characters that are not base64, so that parsers could read different contents.
  if (!LINE.test(body) || body.length % 4 !== 0) throw invalid('a block is not base64')
  return new Uint8Array(Buffer.from(body, 'base64'))
}

function invalid(reason: string): AgentError {
  return new AgentError('svid.invalid', `malformed PEM: ${reason}`)
}
