import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { attestorEvents } from '../../../agent/observability/attestor-events.js'
import { engineEvents } from '../../../agent/observability/engine-events.js'
import { kubernetesEvents } from '../../../agent/observability/kubernetes-events.js'
import { withEngineStatus, withKubernetesStatus } from '../../../attestors/attestor-status.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const AWAY = new AgentError('platform.unavailable', 'the connection was refused')

function setting() {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = attestorEvents(sinks)
  const now = () => events.statuses().map(({ name, active, reason }) => [name, active, reason])
  return {
    now,
    sinks,
    engine: withEngineStatus(engineEvents(sinks, clock), events, '/run/e.sock'),
    kubernetes: withKubernetesStatus(kubernetesEvents(sinks, clock), events, 'n1'),
  }
}

describe('the status of the attestors', () => {
  it('docker is off until an engine has answered, and on for ever then', () => {
    const { engine, now, sinks } = setting()
    engine.away(AWAY, true)
    expect(now()).toEqual([['docker', false, 'there is no container engine at /run/e.sock']])
    engine.away(AWAY, false)
    expect(now()).toEqual([['docker', false, 'the connection was refused']])
    engine.answers('/run/e.sock')
    expect(now()).toEqual([['docker', true, 'the container engine answers at /run/e.sock']])
    engine.away(AWAY, true)
    expect(now()).toEqual([['docker', true, 'the container engine does not answer: the connection was refused']])
    expect(sinks.events('info').filter((event) => event.startsWith('Workload attestor'))).toHaveLength(2)
    // What the engine's own events say is said, too.
    expect(sinks.events('info')).toContain('Container engine found')
    expect(sinks.events('warn')).toContain('Container engine does not answer')
  })

  it('kubernetes is on where the agent runs in a pod, and says whether it knows the pods', () => {
    const { kubernetes, now, sinks } = setting()
    kubernetes.failed('list', AWAY)
    expect(now()).toEqual([['kubernetes', true, 'Pods of this node cannot be listed: the connection was refused']])
    kubernetes.listed('list', 3, 0)
    kubernetes.watching()
    expect(now()).toEqual([['kubernetes', true, 'the pods of node n1 are known']])
    expect(sinks.events('info').filter((event) => event.startsWith('Workload attestor'))).toHaveLength(1)
  })
})
