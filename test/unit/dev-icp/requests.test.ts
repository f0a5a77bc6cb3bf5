import { expect, test } from 'vitest'
import { RequestLog, type RequestRecord } from '../../../dev/icp-server/requests.js'

const record = (endpoint: string, status: number | null = 200): RequestRecord => ({
  at: 0,
  method: 'GET',
  endpoint,
  path: endpoint,
  status,
  ip: '127.0.0.1',
  client: null,
  account: null,
  faults: [],
  reason: null,
})

test('the request log counts all and keeps the last ten thousand', () => {
  const log = new RequestLog()
  for (let i = 0; i < 25_000; i++) log.add(record('/a', i < 10 ? null : 200))
  log.add(record('/b', 429))
  expect(log.count()).toBe(25_001)
  expect(log.count({ endpoint: '/a', status: null })).toBe(10)
  expect(log.counts()).toEqual({ 'GET /a': 25_000, 'GET /b': 1 })
  expect(log.list().length).toBeGreaterThanOrEqual(10_000)
  expect(log.list().length).toBeLessThanOrEqual(20_000)
  expect(log.list().at(-1)?.endpoint).toBe('/b')
  expect(log.list({ status: null })).toEqual([])
})
