import { describe, expect, it } from 'vitest'
import { answerSignals } from '../../../agent/main/answer-signals.js'

function heard(...signals: NodeJS.Signals[]): string[] {
  const happened: string[] = []
  const say = (level: string) => (event: string, fields?: object) => {
    happened.push(`${level} ${event} ${JSON.stringify(fields)}`)
  }
  const answer = answerSignals({ reopen: () => happened.push('reopen'), info: say('info'), warn: say('warn') }, () =>
    happened.push('reload'),
  )
  for (const signal of signals) answer(signal)
  return happened
}

describe('at a signal', () => {
  it('SIGHUP opens the log anew, and then reads the configuration again', () => {
    expect(heard('SIGHUP')).toEqual(['reopen', 'info Log reopened {"signal":"SIGHUP"}', 'reload'])
  })

  it.each(['SIGUSR1', 'SIGUSR2'] as const)('%s opens the log anew alone', (signal) => {
    expect(heard(signal)).toEqual(['reopen', `info Log reopened {"signal":"${signal}"}`])
  })

  it('any other is said once, however often it comes', () => {
    const happened = heard('SIGXFSZ', 'SIGXFSZ', 'SIGALRM', 'SIGXFSZ')
    expect(happened).toEqual([expect.stringContaining('SIGXFSZ'), expect.stringContaining('SIGALRM')])
  })
})
