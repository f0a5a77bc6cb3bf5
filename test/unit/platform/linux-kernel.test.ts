import { closeSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { codeOf, messageOf } from '../../../agent/errors.js'
import { isKernelThread, startTime } from '../../../agent/lib/proc-texts.js'
import { HostMounts } from '../../../agent/platform/host-mounts.js'
import { type Libc, LibcError, loadLibc } from '../../../agent/platform/koffi-libc.js'
import { ERRNO, SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD } from '../../../agent/platform/linux-abi.js'
import { createLinuxKernel } from '../../../agent/platform/linux-kernel.js'

function thrown(run: () => unknown): unknown {
  try {
    run()
    return 'nothing'
  } catch (error) {
    return codeOf(error)
  }
}

function errorOf(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

/** The C library, with some of it replaced. */
const libcWith = (changed: Partial<Libc>): Libc => ({ ...loadLibc(), ...changed })
const fails = (call: string, errno: number) => () => {
  throw new LibcError(call, errno)
}

describe('a kernel that cannot say who is calling is refused at start', () => {
  it('without the native binding', async () => {
    // Modules of its own: others have loaded the library already.
    vi.resetModules()
    const { loadLibc } = await import('../../../agent/platform/koffi-libc.js')
    const missing = () => {
      throw new Error('Cannot find module koffi')
    }
    expect(() => loadLibc(missing)).toThrow(expect.objectContaining({ code: 'kernel.unsupported' }))
  })

  it.each<[string, Partial<Libc>]>([
    ['pidfd_open is filtered', { pidfdOpen: fails('pidfd_open', 1) }],
    ['statx is filtered', { statx: fails('statx', 38) }],
    ['epoll is not there', { epollCreate: fails('epoll_create1', 38) }],
    ['sockets do not name their peers', { getsockopt: () => ({ length: 0, errno: ERRNO.ENOPROTOOPT }) }],
    [
      'a peer is somebody else than it is',
      {
        getsockopt: (fd, option, buffer) => {
          const result = loadLibc().getsockopt(fd, option, buffer)
          if (option === SO_PEERCRED) buffer.writeInt32LE(1, 0)
          return result
        },
      },
    ],
  ])('when %s', (_name, changed) => {
    expect(thrown(() => createLinuxKernel({ libc: libcWith(changed), withoutPeerPidfd: true }))).toBe(
      'kernel.unsupported',
    )
  })

  it('but one without pidfds of peers is used as it is', () => {
    const asked: number[] = []
    const libc = libcWith({
      getsockopt: (fd, option, buffer) => {
        asked.push(option)
        if (option === SO_PEERPIDFD) return { length: 0, errno: ERRNO.ENOPROTOOPT }
        return loadLibc().getsockopt(fd, option, buffer)
      },
    })
    using kernel = createLinuxKernel({ libc })
    expect(kernel.host.root).toMatch(/^$|^\/proc\/1\/root$/)
    expect(asked.filter((option) => option === SO_PEERPIDFD)).toHaveLength(1)
  })
})

describe('a peer', () => {
  it.each([0, -1, -2147483648])('with pid %i is refused before anything looks at its uid', (pid) => {
    const asked: number[] = []
    let strange = false
    const libc = libcWith({
      getsockopt: (fd, option, buffer) => {
        const result = loadLibc().getsockopt(fd, option, buffer)
        if (!strange) return result
        asked.push(option)
        buffer.writeInt32LE(pid, 0)
        return result
      },
    })
    using kernel = createLinuxKernel({ libc })
    const [one, other] = libc.socketPair()
    strange = true
    expect(thrown(() => kernel.peerOf(one))).toBe('caller.foreign_pid_namespace')
    expect(asked).toEqual([SO_PEERCRED])
    closeSync(one)
    closeSync(other)
  })

  it.each<[string, number, number, string]>([
    ['that was reaped', SO_PEERPIDFD, ERRNO.ESRCH, 'caller.exited'],
    ['that was reaped, as other kernels say it', SO_PEERPIDFD, ERRNO.EINVAL, 'caller.exited'],
    ['without a process', SO_PEERPIDFD, ERRNO.ENODATA, 'caller.exited'],
    ['when no descriptor is left', SO_PEERPIDFD, 24, 'caller.unidentified'],
    ['whose credentials fail', SO_PEERCRED, 1, 'caller.unidentified'],
    ['whose groups fail', SO_PEERGROUPS, 1, 'caller.unidentified'],
  ])('%s is refused', (_name, failing, errno, code) => {
    let broken = false
    const libc = libcWith({
      getsockopt: (fd, option, buffer) =>
        broken && option === failing ? { length: 0, errno } : loadLibc().getsockopt(fd, option, buffer),
    })
    using kernel = createLinuxKernel({ libc })
    const [one, other] = libc.socketPair()
    broken = true
    expect(thrown(() => kernel.peerOf(one))).toBe(code)
    closeSync(one)
    closeSync(other)
  })
})

describe('a process that lives and cannot be read', () => {
  /** A kernel of whose calls `statx` fails from the moment on that it is told to. */
  const failing = (errno: number) => {
    let broken = false
    const real = loadLibc()
    const libc = libcWith({
      statx: (...args) => (broken ? fails('statx', errno)() : real.statx(...args)),
    })
    const kernel = createLinuxKernel({ libc })
    const [one, other] = libc.socketPair()
    const { process } = kernel.peerOf(one)
    broken = true
    return {
      process,
      [Symbol.dispose]() {
        process[Symbol.dispose]()
        closeSync(one)
        closeSync(other)
        kernel[Symbol.dispose]()
      },
    }
  }

  it.each<[string, number, string, RegExp]>([
    ['its program is gone, in all of its threads', 2, 'caller.unidentified', /it is exiting/],
    ['the kernel finds no task', 3, 'caller.unidentified', /is alive, but .*ESRCH/],
    ['no descriptor is left', 24, 'caller.unidentified', /LimitNOFILE/],
    ['no descriptor is left on the machine', 23, 'caller.unidentified', /LimitNOFILE/],
    ['memory is short', 12, 'caller.unidentified', /ENOMEM/],
  ])('has not ended, nor is it unchanged: %s', (_name, errno, code, says) => {
    using s = failing(errno)
    const error = errorOf(() => s.process.executable())
    expect(codeOf(error)).toBe(code)
    expect(messageOf(error)).toMatch(says)
    expect(s.process.alive()).toBe(true)
  })

  it.each([1, 13])('has a program that the agent may not see, where it has no right to it (errno %i)', (errno) => {
    using s = failing(errno)
    expect(s.process.executable()).toBeNull()
  })
})

describe('what /proc says', () => {
  it.each([
    ['a plain name', '77 (node) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20'],
    ['a name that looks like fields', '77 (a) R 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20'],
  ])('the start time is found behind %s', (_name, stat) => {
    expect(startTime(stat)).toBe('4242')
  })

  it('a thread of the kernel has its flag, whatever it is called', () => {
    expect(isKernelThread('2 (kthreadd) S 0 0 0 0 -1 2129984 0 0')).toBe(true)
    expect(isKernelThread('77 (x S 0 0 0 0 -1 2129984) S 1 77 77 0 -1 4194304 0 0')).toBe(false)
    expect(isKernelThread('77 (node) S 1')).toBe(false)
  })

  it('a stat without a start time is an error', () => {
    expect(thrown(() => startTime('77 (node) S 1'))).toBe('caller.unidentified')
  })

  it('a mount is one of the host by its whole number', () => {
    const mounts = new HostMounts('/proc/self/mountinfo')
    expect(mounts.has(999_999_999n)).toBe(false)
    expect(mounts.has(0n)).toBe(false)
  })
})
