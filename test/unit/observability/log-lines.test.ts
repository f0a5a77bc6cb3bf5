import { expect, test } from 'vitest'
import type { FieldsAfter, FieldsOf, Message, MessageAt } from '../../../agent/observability/log.js'
import { RecordedSinks } from '../../fakes/sinks.js'

type Is<A, B> = A extends B ? true : false

/** `tsc` is what fails here. */
test('a text, level or field that the tables do not have does not compile', () => {
  const noSuchLine: Is<'Something else', Message> = false
  const known: Is<'Agent stopped', Message> = true
  const otherLevel: Is<'Agent stopped', MessageAt<'warn'>> = false
  const repeats: Is<'Entry sync failed', MessageAt<'warn'> & MessageAt<'debug'>> = true
  const neverRepeats: Is<'Configuration warning', MessageAt<'debug'>> = false
  const withoutFields: Is<[object], FieldsAfter<FieldsOf<'Agent stopped'>>> = false
  const fieldsLeftOut: Is<[], FieldsAfter<FieldsOf<'Health socket started'>>> = false
  const asDeclared: Is<[{ path: string }], FieldsAfter<FieldsOf<'Health socket started'>>> = true
  const ofAnotherType: Is<{ path: number }, FieldsOf<'Health socket started'>> = false
  const optional: Is<{ error: Error }, FieldsOf<'Agent failed'>> = true
  expect([known, repeats, asDeclared, optional]).not.toContain(false)
  expect([noSuchLine, otherLevel, neverRepeats, withoutFields, fieldsLeftOut, ofAnotherType]).not.toContain(true)
})

test('what a spread adds to a line is seen when a test writes it', () => {
  const { log } = new RecordedSinks()
  const extra = { path: '/run/x', color: 'red' }
  expect(() => log.info('Health socket started', { ...extra })).toThrow(/does not have color/)
})

test('a value that a getter would make is not asked for', () => {
  const { log } = new RecordedSinks()
  log.debug('Entries that the denied process came nearest to', {
    denial_id: 'x',
    get nearest(): never {
      throw new Error('asked for')
    },
  })
})
