import { expect, it } from 'vitest'
import { jsonOf } from '../../../agent/lib/json.js'

it.each([
  ['{"a":[1]}', { a: [1] }],
  ['7', 7],
  ['null', null],
  ['', null],
  ['{"a":', null],
  ['<html>', null],
])('%j is %j', (text, value) => {
  expect(jsonOf(text)).toEqual(value)
})
