import { expect, test } from 'vitest'
import { Signal } from '../../../agent/lib/signal.js'

test('every subscriber is told, also a function that subscribed twice, until it is disposed', () => {
  const signal = new Signal<string>()
  const heard: string[] = []
  const listener = (value: string) => void heard.push(value)
  const first = signal.subscribe(listener)
  signal.subscribe(listener)
  signal.emit('a')
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  signal.emit('b')
  expect(heard).toEqual(['a', 'a', 'b'])
  expect(signal.subscribers).toBe(1)
})

test('who is disposed while others are told is not told, nor who subscribes meanwhile', () => {
  const signal = new Signal()
  const heard: string[] = []
  signal.subscribe(() => {
    second[Symbol.dispose]()
    signal.subscribe(() => heard.push('third'))
    heard.push('first')
  })
  const second = signal.subscribe(() => heard.push('second'))
  signal.emit()
  expect(heard).toEqual(['first'])
})

test('a listener that throws keeps nobody else from hearing, and its error is thrown after that', () => {
  const signal = new Signal()
  const heard: string[] = []
  signal.subscribe(() => {
    throw new TypeError('a defect')
  })
  signal.subscribe(() => heard.push('second'))
  expect(() => signal.emit()).toThrow('a defect')
  expect(heard).toEqual(['second'])
})
