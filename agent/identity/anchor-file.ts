import { X509Certificate } from 'node:crypto'
import { noAnchor } from './no-anchor.js'

const BEGIN = '-----BEGIN CERTIFICATE-----'
const WHOLE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g
/** The last line of a file that broke off within a boundary. */
const CUT = /(?:^|\n)-+(?:B|BE|BEG|BEGI|BEGIN[^\n]*)?\s*$/

/** The problem of a file of certificates, as the predicate of a sentence about the file, and the remedy. */
export interface AnchorFileTrouble {
  readonly problem: string
  readonly remedy: string
}

/**
 * Null if a PEM text can serve as trust anchors: it holds a certificate, and each one is complete. TLS would silently
 * ignore an incomplete one and all after it. `path`: the file of the text, for the remedy.
 */
export function anchorFileTrouble(text: string, path: string): AnchorFileTrouble | null {
  const whole = text.match(WHOLE) ?? []
  const begun = text.split(BEGIN).length - 1 + (CUT.test(text) ? 1 : 0)
  if (begun === 0) return noAnchor(text, path)
  if (/-----\\n/.test(text)) {
    return { problem: 'has the two characters \\n instead of line ends', remedy: 'replace them with line ends' }
  }
  const bad = whole.findIndex((pem) => !readable(pem))
  if (bad === -1 && whole.length === begun) return null
  const place = bad === -1 ? whole.length : bad
  return {
    problem: `is damaged: certificate ${place + 1} of ${begun} is broken`,
    remedy: 'replace it with the whole certificate',
  }
}

function readable(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch (error) {
    if (error instanceof Error) return false
    throw error
  }
}
