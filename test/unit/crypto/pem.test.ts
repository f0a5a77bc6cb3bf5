import { describe, expect, it } from 'vitest'
import { derFromPem, pemFromDer } from '../../../agent/crypto/pem.js'
import { codeOf } from '../../../agent/errors.js'

const BYTES = new Uint8Array(100).map((_, i) => i)
const PEM = pemFromDer(BYTES, 'CERTIFICATE')
const refused = (text: string, limits = {}) => {
  try {
    derFromPem(text, 'CERTIFICATE', limits)
  } catch (error) {
    return codeOf(error)
  }
  return 'accepted'
}

describe('PEM', () => {
  it('is read back as it was written, block by block', () => {
    expect(derFromPem(PEM + PEM, 'CERTIFICATE')).toEqual([BYTES, BYTES])
    expect(PEM.split('\n')[1]).toHaveLength(64)
  })

  it('may have text around its blocks, other blocks, CRLF and indented lines', () => {
    const text = `# a comment\r\nsubject: CN=x\r\n${PEM.replaceAll('\n', '\r\n  ')}${pemFromDer(BYTES, 'PRIVATE KEY')}`
    expect(derFromPem(text, 'CERTIFICATE')).toEqual([BYTES])
    expect(derFromPem(text, 'RSA PRIVATE KEY')).toEqual([])
  })

  it('has no block where there is none', () => {
    expect(derFromPem('', 'CERTIFICATE')).toEqual([])
    expect(derFromPem('<html>Bad gateway</html>', 'CERTIFICATE')).toEqual([])
  })

  it.each([
    ['without an end', PEM.slice(0, -20)],
    ['with the end of another label', PEM.replace('END CERTIFICATE', 'END PRIVATE KEY')],
    ['with a block inside a block', PEM.replace('\n', '\n-----BEGIN CERTIFICATE-----\n')],
    ['with characters that are not base64', PEM.replace('AAEC', 'AA*C')],
    ['with a length that is not base64', PEM.replace('AAEC', 'AAE')],
    ['that is encrypted', PEM.replace('\n', '\nProc-Type: 4,ENCRYPTED\n')],
    ['that is empty', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'],
  ])('%s is refused', (_name, text) => {
    expect(refused(text)).toBe('svid.invalid')
  })

  it('is bounded in length and in blocks', () => {
    expect(refused(PEM, { maxLength: 50 })).toBe('svid.invalid')
    expect(refused(PEM + PEM, { maxBlocks: 1 })).toBe('svid.invalid')
    expect(refused(PEM, { maxBlocks: 1 })).toBe('accepted')
  })

  it('never quotes what it refuses', () => {
    const error = (() => {
      try {
        return derFromPem(PEM.replace('AAEC', 'SECRET*'), 'CERTIFICATE')
      } catch (thrown) {
        return thrown
      }
    })()
    expect(String(error)).not.toContain('SECRET')
  })
})
