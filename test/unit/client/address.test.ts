import { describe, expect, test } from 'vitest'
import { addressOf, findEndpoint, grpcTarget, parseEndpoint } from '../../../agent/client/address.js'
import { AgentError } from '../../../agent/errors.js'

const refused = expect.objectContaining({ code: 'client.address_invalid' })

test('AD-01 the variable counts when nothing is configured', () => {
  const env = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env.sock' }
  expect(findEndpoint(undefined, env)).toEqual({ kind: 'unix', path: '/env.sock' })
  expect(findEndpoint('unix:///given.sock', env)).toEqual({ kind: 'unix', path: '/given.sock' })
  expect(findEndpoint(undefined, {})).toBeNull()
  expect(findEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: '' })).toBeNull()
})

test('an address from the variable that is wrong names the variable', () => {
  const find = () => findEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: '/bare.sock' })
  expect(find).toThrow(refused)
  expect(find).toThrow(/SPIFFE_ENDPOINT_SOCKET.*unix:\/\/\/bare\.sock/)
})

describe('AD-02 only the schemes unix and tcp', () => {
  for (const text of ['', '/a.sock', 'a.sock', 'http://127.0.0.1:80', 'https:///a', 'npipe:a', '://a', 'unix'])
    test(JSON.stringify(text), () => expect(() => parseEndpoint(text)).toThrow(refused))
  test('a scheme is read in any case (RFC 3986 3.1)', () =>
    expect(parseEndpoint('UNIX:///a.sock')).toEqual({ kind: 'unix', path: '/a.sock' }))
})

describe('AD-03 unix takes an absolute path and nothing else', () => {
  for (const text of ['unix:///a.sock', 'unix:/a.sock'])
    test(text, () => expect(parseEndpoint(text)).toEqual({ kind: 'unix', path: '/a.sock' }))
  for (const text of [
    'unix:a.sock',
    'unix://a.sock',
    'unix://host/a.sock',
    'unix://user@/a.sock',
    'unix:',
    'unix://',
    'unix:///',
    'unix:///dir/',
    'unix:///a.sock?x=1',
    'unix:///a.sock?',
    'unix:///a.sock#x',
    'unix:///a%zz',
    'unix:///a%00b',
    'unix:///a\nb',
    `unix:///${'x'.repeat(107)}`,
  ])
    test(JSON.stringify(text), () => expect(() => parseEndpoint(text)).toThrow(refused))
  test('percent-encoding is undone', () =>
    expect(parseEndpoint('unix:///a%20b%3F.sock')).toEqual({ kind: 'unix', path: '/a b?.sock' }))
  test('a path of 107 bytes is the longest', () =>
    expect(parseEndpoint(`unix:///${'x'.repeat(106)}`)).toMatchObject({ kind: 'unix' }))
})

describe('AD-04 tcp takes an IP and a port', () => {
  test('IPv4', () =>
    expect(parseEndpoint('tcp://127.0.0.1:8000')).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 8000 }))
  test('IPv6', () => expect(parseEndpoint('tcp://[::1]:8000')).toEqual({ kind: 'tcp', host: '::1', port: 8000 }))
})

describe('AD-05 each mistake has a text of its own', () => {
  for (const [text, words] of [
    ['tcp:127.0.0.1:8000', 'must not be opaque'],
    ['tcp://127.0.0.1:8000/foo', 'must not include a path'],
    ['tcp://127.0.0.1:8000/', 'must not include a path'],
    ['tcp://user@127.0.0.1:8000', 'must not include a user'],
    ['tcp://127.0.0.1:8000?x', 'must not include a query'],
    ['tcp://127.0.0.1:8000#x', 'must not include a fragment'],
    ['tcp://localhost:8000', 'must be an IP address'],
    ['tcp://::1:8000', 'must be an IP address'],
    ['tcp://[127.0.0.1]:8000', 'must be an IP address'],
    ['tcp://:8000', 'must be an IP address'],
    ['tcp://127.0.0.1', 'must include a port'],
    ['tcp://127.0.0.1:', 'must include a port'],
    ['tcp://127.0.0.1:0', 'between 1 and 65535'],
    ['tcp://127.0.0.1:65536', 'between 1 and 65535'],
    ['unix://host/a.sock', 'no host'],
    ['unix:a.sock', 'must be absolute'],
    ['http://a', 'must be unix or tcp'],
  ] as const)
    test(text, () => {
      const parse = () => parseEndpoint(text)
      expect(parse).toThrow(AgentError)
      expect(parse).toThrow(words)
    })
})

test('what grpc-js dials names the same place', () => {
  expect(grpcTarget({ kind: 'unix', path: '/a.sock' })).toBe('unix:///a.sock')
  expect(grpcTarget({ kind: 'unix', path: '//a.sock' })).toBe('unix:////a.sock')
  expect(grpcTarget({ kind: 'tcp', host: '::1', port: 1 })).toBe('ipv6:[::1]:1')
  expect(grpcTarget({ kind: 'tcp', host: '127.0.0.1', port: 1 })).toBe('ipv4:127.0.0.1:1')
  expect(addressOf(parseEndpoint('tcp://[::1]:8000'))).toBe('tcp://[::1]:8000')
  expect(addressOf(parseEndpoint('unix:/a.sock'))).toBe('unix:///a.sock')
})
