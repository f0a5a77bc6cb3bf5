import { describe, expect, test } from 'vitest'
import { listenFault } from '../../../agent/lib/listen-fault.js'

const errno = (code: string) => Object.assign(new Error('raw text'), { code })

describe('why a port cannot be listened on', () => {
  test.each([
    [
      'EADDRINUSE',
      '127.0.0.1',
      "127.0.0.1:80 is in use by another program, perhaps another agent or an earlier run (ss -ltnp 'sport = :80' shows it)",
    ],
    ['EADDRINUSE', '::1', '[::1]:80 is in use'],
    ['EADDRNOTAVAIL', '192.0.2.1', '192.0.2.1 is not an address of this machine'],
    ['EACCES', '127.0.0.1', '127.0.0.1:80 is below 1024'],
    ['ENOBUFS', '127.0.0.1', '127.0.0.1:80 cannot be opened (ENOBUFS)'],
  ])('%s at %s', (code, host, text) => expect(listenFault(host, 80, errno(code))).toContain(text))

  test('without an errno', () => expect(listenFault('::', 1, 'odd')).toBe('[::]:1 cannot be opened (no errno)'))
})
