import { describe, expect, test } from 'vitest'
import { listenFault } from '../../../agent/lib/listen-fault.js'

const errno = (code: string) => Object.assign(new Error('raw text'), { code })

describe('why a port cannot be listened on', () => {
  test.each([
    [
      'EADDRINUSE',
      '127.0.0.1',
      "127.0.0.1:80 is taken: another program listens there, perhaps another of this kind (ss -ltnp 'sport = :80' names it)",
    ],
    ['EADDRINUSE', '::1', '[::1]:80 is taken'],
    ['EADDRNOTAVAIL', '192.0.2.1', '192.0.2.1 is no address of this machine'],
    ['EACCES', '127.0.0.1', '127.0.0.1:80 may not be opened by this user'],
    ['ENOBUFS', '127.0.0.1', '127.0.0.1:80 cannot be listened on (ENOBUFS)'],
  ])('%s at %s', (code, host, text) => expect(listenFault(host, 80, errno(code))).toContain(text))

  test('without an errno', () => expect(listenFault('::', 1, 'odd')).toBe('[::]:1 cannot be listened on (no errno)'))
})
