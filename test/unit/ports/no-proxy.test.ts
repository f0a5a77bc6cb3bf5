import { describe, expect, it } from 'vitest'
import { readNoProxy } from '../../../agent/ports/no-proxy.js'

const exempt = (noProxy: string, address: string) => {
  const { hostname, port } = new URL(address)
  return readNoProxy(noProxy).exempts(hostname, port)
}

describe('NO_PROXY', () => {
  it.each([
    // Names
    ['icp.test', 'https://icp.test'],
    ['ICP.Test', 'https://icp.test'],
    ['icp.test', 'https://a.b.icp.test'],
    ['icp.test', 'https://icp.test.'],
    ['icp.test.', 'https://icp.test'],
    ['.icp.test', 'https://a.icp.test'],
    ['.icp.test', 'https://icp.test'],
    ['*.icp.test', 'https://a.icp.test'],
    ['test', 'https://icp.test'],
    ['bücher.test', 'https://bücher.test'],
    ['my_host', 'https://my_host'],
    // Lists
    ['a.test,icp.test', 'https://icp.test'],
    ['a.test, icp.test ,', 'https://icp.test'],
    ['a.test icp.test', 'https://icp.test'],
    ['*', 'https://icp.test'],
    ['a.test,*', 'https://10.1.2.3'],
    // Ports
    ['icp.test:8443', 'https://icp.test:8443'],
    ['icp.test:443', 'https://icp.test'],
    ['icp.test:8443', 'https://a.icp.test:8443'],
    ['.icp.test:8443', 'https://a.icp.test:8443'],
    ['*.icp.test:8443', 'https://a.icp.test:8443'],
    ['10.1.2.3:8443', 'https://10.1.2.3:8443'],
    ['[fd88::1]:8443', 'https://[fd88::1]:8443'],
    // Addresses and networks
    ['10.1.2.3', 'https://10.1.2.3'],
    ['10.0.0.0/8', 'https://10.1.2.3'],
    ['10.1.2.9/24', 'https://10.1.2.3'],
    ['10.1.2.3/32', 'https://10.1.2.3'],
    ['0.0.0.0/0', 'https://10.1.2.3'],
    ['fd88::1', 'https://[fd88::1]'],
    ['[fd88::1]', 'https://[fd88::1]'],
    ['FD88:0:0:0:0:0:0:1', 'https://[fd88::1]'],
    ['fd88::/16', 'https://[fd88::1]'],
    ['::/0', 'https://[fd88::1]'],
    // IPv4 in IPv6
    ['10.1.2.3', 'https://[::ffff:10.1.2.3]'],
    ['::ffff:10.1.2.3', 'https://10.1.2.3'],
    ['10.0.0.0/8', 'https://[::ffff:10.1.2.3]'],
    ['::ffff:10.0.0.0/104', 'https://10.1.2.3'],
    // As Go has it, an address ends like a name.
    ['.2.3', 'https://10.1.2.3'],
  ])('%s exempts %s', (noProxy, address) => {
    expect(exempt(noProxy, address)).toBe(true)
  })

  it.each([
    ['', 'https://icp.test'],
    ['icp.test', 'https://nicp.test'],
    ['icp.test', 'https://test'],
    ['*.icp.test', 'https://icp.test'],
    ['.icp.test:443', 'https://icp.test'],
    ['icp.test:443', 'https://icp.test:8443'],
    ['icp.test:8443', 'https://icp.test'],
    ['10.1.2.3:443', 'https://10.1.2.3:8443'],
    ['[fd88::1]:443', 'https://[fd88::1]:8443'],
    ['10.0.0.0/8', 'https://11.1.2.3'],
    ['10.0.0.0/8', 'https://icp.test'],
    ['10.0.0.0/8', 'https://[fd88::1]'],
    ['fd88::/16', 'https://[fd89::1]'],
    ['fd88::/16', 'https://10.1.2.3'],
    ['10.1.2.3', 'https://10.1.2.30'],
    ['*icp.test', 'https://icp.test'],
    ['https://icp.test', 'https://icp.test'],
  ])('%s does not exempt %s', (noProxy, address) => {
    expect(exempt(noProxy, address)).toBe(false)
  })

  it('tells which of its entries exempt nobody', () => {
    const useless = [
      'https://icp.test',
      '10.0.0.0/33',
      '10.0.0/8',
      'fd88::/129',
      '*icp.test',
      'a.*.test',
      'icp.test:x',
      ':443',
      '10.1.2.3:0',
      'fe80::1%eth0',
      '[]',
      '.',
      '10.0.0.0/8:443',
    ]
    expect(readNoProxy(`icp.test,${useless.join(',')},*.a.test,.b.test, 10.0.0.0/8`).useless).toEqual(useless)
  })
})
