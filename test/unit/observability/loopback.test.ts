import { expect, test } from 'vitest'
import { isLoopback, isLoopbackHost } from '../../../agent/observability/loopback.js'

test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('%s never leaves the machine', (address) => {
  expect(isLoopback(address)).toBe(true)
})

test.each(['10.0.0.1', '::', 'fe80::1', '::ffff:10.0.0.1', '1127.0.0.1', '', undefined])('%s may', (address) => {
  expect(isLoopback(address)).toBe(false)
})

test.each([
  undefined,
  '',
  'localhost',
  'LOCALHOST:8080',
  'localhost.',
  '127.0.0.1:80',
  '127.1.2.3',
  '[::1]:8080',
  '[::1]',
])('Host %s names this machine', (host) => {
  expect(isLoopbackHost(host)).toBe(true)
})

test.each([
  'evil.example',
  'localhost.evil.example',
  '127.0.0.1.evil.example',
  'evil.example:8080',
  '10.0.0.1',
  '[fe80::1]',
  'localhost:80:80',
  'x@localhost',
])('Host %s does not', (host) => {
  expect(isLoopbackHost(host)).toBe(false)
})
