import { describe, expect, it } from 'vitest'
import { inheritedSocket } from '../../../agent/main/socket-activation.js'
import { seesOtherUsers } from '../../../agent/platform/capabilities.js'
import { LibcError } from '../../../agent/platform/koffi-libc.js'
import { serviceManager } from '../../../agent/platform/service-manager.js'

function managerFor(env: Readonly<Record<string, string>>, fails = false) {
  const sent: string[] = []
  const warnings: string[] = []
  const manager = serviceManager(env, {
    pid: 42,
    log: { warn: (event: string, ..._: unknown[]) => void warnings.push(event) },
    libc: () => ({
      sendDatagram: (path: string, message: string) => {
        if (fails) throw new LibcError('sendto', 111)
        sent.push(`${path} ${message}`)
      },
    }),
    monotonicMicroseconds: () => 7_000n,
  })
  return { manager, sent, warnings }
}

describe('the notify protocol of systemd', () => {
  it('says nothing where nobody listens', () => {
    const { manager, sent } = managerFor({})
    manager.ready()
    manager.alive()
    expect([sent, manager.watchdogMs]).toEqual([[], null])
  })

  it('has one message for each thing that happens', () => {
    const { manager, sent } = managerFor({ NOTIFY_SOCKET: '/n' })
    manager.ready()
    manager.reloading()
    manager.stopping()
    manager.alive()
    expect(sent).toEqual(['/n READY=1', '/n RELOADING=1\nMONOTONIC_USEC=7000', '/n STOPPING=1', '/n WATCHDOG=1'])
  })

  it('lets no status forge another message', () => {
    const { manager, sent } = managerFor({ NOTIFY_SOCKET: '@n' })
    manager.status('degraded\nMAINPID=1\r')
    expect(sent).toEqual(['@n STATUS=degraded MAINPID=1 '])
  })

  it.each([
    [{ WATCHDOG_USEC: '60000000' }, 60_000],
    [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '42' }, 60_000],
    [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '41' }, null],
    [{ WATCHDOG_USEC: 'often' }, null],
    [{}, null],
  ])('with %j expects a sign of life within %s ms', (env, expected) => {
    expect(managerFor({ NOTIFY_SOCKET: '/n', ...env }).manager.watchdogMs).toBe(expected)
  })

  it('says once that it cannot be told, and goes on', () => {
    const { manager, warnings } = managerFor({ NOTIFY_SOCKET: '/n' }, true)
    manager.ready()
    manager.alive()
    expect(warnings).toHaveLength(1)
  })
})

describe('a socket that systemd hands over', () => {
  it.each([
    [{ LISTEN_PID: '42', LISTEN_FDS: '1' }, 3],
    [{ LISTEN_PID: '42', LISTEN_FDS: '2' }, 3],
    [{ LISTEN_PID: '42', LISTEN_FDS: '0' }, null],
    [{ LISTEN_PID: '41', LISTEN_FDS: '1' }, null],
    [{ LISTEN_FDS: '1' }, null],
    [{ LISTEN_PID: '42' }, null],
    [{}, null],
  ])('with %j is descriptor %s', (env, expected) => {
    expect(inheritedSocket(env, 42)).toBe(expected)
  })
})

describe('SYS_PTRACE', () => {
  it.each([
    ['CapPrm:\t0000000000080000\nCapEff:\t0000000000080000\n', true],
    ['CapEff:\t000001ffffffffff\n', true],
    ['CapPrm:\t0000000000080000\nCapEff:\t0000000000000000\n', false],
    ['CapEff:\t00000000a80425fb\n', false],
    ['', false],
  ])('in %j is in effect: %s', (status, expected) => {
    expect(seesOtherUsers(status)).toBe(expected)
  })
})
