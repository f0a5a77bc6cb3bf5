import { describe, expect, it } from 'vitest'
import { answerSignals } from '../../../agent/main/answer-signals.js'

function heard(...signals: NodeJS.Signals[]): string[] {
  const happened: string[] = []
  const say = (level: string) => (event: string, fields?: object) => {
    happened.push(`${level} ${event} ${JSON.stringify(fields)}`)
  }
  const answer = answerSignals(
    { reopen: () => happened.push('reopen'), info: say('info'), warn: say('warn') },
    { reloading: () => happened.push('reloading'), ready: () => happened.push('ready') },
  )
  for (const signal of signals) answer(signal)
  return happened
}

describe('at a signal', () => {
  it.each(['SIGHUP', 'SIGUSR1'] as const)('%s opens the log anew and says that no configuration was read', (signal) => {
    const happened = heard(signal)
    expect(happened.slice(0, 3)).toEqual(['reloading', 'reopen', 'ready'])
    expect(happened[3]).toMatch(/configuration was not read again .*restart/)
    expect(happened[3]).toContain(signal)
  })

  it('SIGUSR2 opens the log anew', () => {
    expect(heard('SIGUSR2')).toEqual(['reopen', 'info The log was opened anew {"signal":"SIGUSR2"}'])
  })

  it('any other is said once, however often it comes', () => {
    const happened = heard('SIGXFSZ', 'SIGXFSZ', 'SIGALRM', 'SIGXFSZ')
    expect(happened).toEqual([expect.stringContaining('SIGXFSZ'), expect.stringContaining('SIGALRM')])
  })
})
