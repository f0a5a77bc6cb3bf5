import { expect } from 'vitest'
import { findEndpoint, parseEndpoint } from '../../agent/client/address.js'
import { line } from './line.js'

const refused = expect.objectContaining({ code: 'client.address_invalid' })
const refuses = (text: string) => expect(() => parseEndpoint(text), text).toThrow(refused)

line.local('AD-01', () => {
  const env = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env.sock' }
  expect(findEndpoint(undefined, env)).toEqual({ kind: 'unix', path: '/env.sock' })
  expect(findEndpoint('unix:///given.sock', env)).toEqual({ kind: 'unix', path: '/given.sock' })
})

line.local('AD-02', () => {
  for (const text of ['/a.sock', 'a.sock', '', 'http://127.0.0.1:80', 'npipe:///a', '://a']) refuses(text)
})

line.local('AD-03', () => {
  for (const text of ['unix:///a.sock', 'unix:/a.sock']) {
    expect(parseEndpoint(text)).toEqual({ kind: 'unix', path: '/a.sock' })
  }
  for (const text of ['unix:a.sock', 'unix://a.sock', 'unix://u@/a', 'unix:///a?q', 'unix:///a#f', 'unix:']) {
    refuses(text)
  }
})

line.local('AD-04', () => {
  expect(parseEndpoint('tcp://127.0.0.1:8000')).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 8000 })
  expect(parseEndpoint('tcp://[::1]:8000')).toEqual({ kind: 'tcp', host: '::1', port: 8000 })
  for (const rest of [
    '127.0.0.1:8000/foo',
    'localhost:8000',
    '127.0.0.1',
    '::1:8000',
    'u@127.0.0.1:1',
    '127.0.0.1:1?q',
  ]) {
    refuses(`tcp://${rest}`)
  }
})

line.local('AD-05', () => {
  const texts = [
    'unix:a.sock',
    'unix://host/a',
    'tcp:1',
    'tcp://127.0.0.1:1/a',
    'tcp://h:1',
    'tcp://127.0.0.1',
    'x://a',
  ]
  const said = texts.map((text) => {
    try {
      parseEndpoint(text)
      return ''
    } catch (error) {
      return String(error)
    }
  })
  expect(new Set(said).size).toBe(texts.length)
  expect(said.every((text) => text.length > 40)).toBe(true)
})
