import type { AttestorResult } from '../../../../agent/attestation/attestor.js'
import { type Caller, callerOf } from '../../../../agent/attestation/caller.js'
import { engineEvents } from '../../../../agent/observability/engine-events.js'
import { dockerWorkloads } from '../../../../attestors/docker/create.js'
import { FakeClock, settle } from '../../../fakes/clock.js'
import { FakeEngine } from '../../../fakes/engine.js'
import { FakeKernel, type ProcessTraits } from '../../../fakes/kernel.js'
import { fixedRandom } from '../../../fakes/random.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

export const ID = 'a5'.repeat(32)
export const OTHER = 'b6'.repeat(32)
export const TENANT = '11111111-2222-4333-8444-555555555555'

/** The docker attestor of a machine with a fake engine, kernel and clock. */
export function machine(options: { authsecLabels?: boolean; imageLabels?: 'separate' | 'merged' } = {}) {
  const engine = new FakeEngine()
  const kernel = new FakeKernel()
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const stop = new AbortController()
  const docker = dockerWorkloads({
    http: engine,
    files: engine.files,
    kernel,
    clock,
    random: fixedRandom(0.5),
    events: engineEvents(sinks, clock),
    socketPath: '/run/docker.sock',
    authsecLabels: options.authsecLabels ?? false,
    imageLabels: options.imageLabels ?? 'separate',
    tenantId: TENANT,
  })
  const { attestor } = docker
  const caller = (traits: ProcessTraits = {}): Caller => callerOf(kernel.peer(kernel.spawn(traits)))
  const inGroup = (cgroup: string, traits: ProcessTraits = {}): Caller => caller({ ...traits, files: { cgroup } })
  return {
    engine,
    kernel,
    clock,
    sinks,
    docker,
    attestor,
    caller,
    inGroup,
    /** A process in the group that Docker with the cgroupfs driver gives a container. */
    inContainer: (id: string) => inGroup(`0::/docker/${id}\n`),
    attest: (who: Caller, signal = new AbortController().signal): Promise<AttestorResult> =>
      attestor.attest(who, signal),
    selectors: async (who: Caller) =>
      Object.fromEntries((await attestor.attest(who, new AbortController().signal)).selectors),
    /** Counts how often the caller is told that something changed. */
    watch: (who: Caller) => {
      const told = { times: 0 }
      const watch = attestor.onChange?.(who, () => void told.times++)
      return { told, [Symbol.dispose]: () => watch?.[Symbol.dispose]() }
    },
    /** Begins to hear from the engine; the promise ends with `stop`. */
    run: async (): Promise<AsyncDisposable> => {
      const running = docker.run(stop.signal)
      await settle()
      return {
        [Symbol.asyncDispose]: async () => {
          stop.abort()
          await running
        },
      }
    },
  }
}
