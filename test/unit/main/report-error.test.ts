import { constants } from 'node:os'
import { describe, expect, it } from 'vitest'
import { reportError } from '../../../agent/main/report-error.js'

const told = (error: unknown) => {
  const parts: string[] = []
  const code = reportError(error, { env: {}, stderr: { write: (part) => parts.push(part) } })
  return { code, text: parts.join('') }
}
const refused = (code: string, more: object = {}) =>
  Object.assign(new Error('raw text'), { code, syscall: 'open', ...more })

describe('what is told of an error', () => {
  it.each(Object.keys(constants.errno))('%s of the system is no defect, and names the path', (code) => {
    const { text, code: exit } = told(refused(code, { path: '/some/file' }))
    expect(text).toMatch(/^error cannot open \/some\/file: .*\[file\.io\]/)
    expect(text).not.toContain('defect')
    expect(exit).toBe(1)
  })

  it('of a port that is taken names the address', () => {
    expect(told(refused('EADDRINUSE', { syscall: 'listen', address: '127.0.0.1' })).text).toMatch(
      /^error cannot listen 127\.0\.0\.1: /,
    )
  })

  it('a mistake in the program alone is called a defect', () => {
    expect(told(new TypeError('x is not a function')).text).toMatch(/This is a defect/)
  })
})
