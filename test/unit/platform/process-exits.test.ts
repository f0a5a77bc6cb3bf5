import { describe, expect, it } from 'vitest'
import { type Libc, loadLibc } from '../../../agent/platform/koffi-libc.js'
import { ProcessExits } from '../../../agent/platform/process-exits.js'

/** An epoll that shows at most two descriptors at a time. */
function setting() {
  const registered = new Set<number>()
  const ready = new Set<number>()
  let looks = 0
  const libc: Libc = {
    ...loadLibc(),
    epollAdd: (_epoll, fd) => void registered.add(fd),
    epollRemove: (_epoll, fd) => void registered.delete(fd),
    epollReady: () => {
      looks++
      return [...ready].filter((fd) => registered.has(fd)).slice(0, 2)
    },
  }
  return { exits: new ProcessExits(libc, 1), registered, ready, looks: () => looks }
}

describe('exits of processes', () => {
  it('are all told at one look, however many there are', async () => {
    const s = setting()
    using exits = s.exits
    const told: number[] = []
    for (let fd = 1000; fd < 1011; fd++) {
      exits.watch(fd, () => told.push(fd))
      s.ready.add(fd)
    }
    await expect.poll(() => told.length).toBe(11)
    expect(s.registered.size).toBe(0)
  })

  it('nothing is looked at while nothing is watched', async () => {
    const s = setting()
    using exits = s.exits
    const watch = exits.watch(1000, () => {})
    await expect.poll(s.looks).toBeGreaterThan(0)
    watch[Symbol.dispose]()
    const before = s.looks()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(s.looks()).toBe(before)
    expect(s.registered.size).toBe(0)
  })

  it('one who stops watching is not told, the others are', async () => {
    const s = setting()
    using exits = s.exits
    const told: string[] = []
    const one = exits.watch(1000, () => told.push('one'))
    exits.watch(1000, () => told.push('two'))
    one[Symbol.dispose]()
    s.ready.add(1000)
    await expect.poll(() => told).toEqual(['two'])
    one[Symbol.dispose]()
  })
})
