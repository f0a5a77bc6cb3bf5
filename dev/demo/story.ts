import type { DialectName } from '../../agent/client/dialect-name.js'
import type { DemoEvent } from './events.js'
import type { HeldLine } from './workload-line.js'

type Of<K extends DemoEvent['kind']> = Extract<DemoEvent, { kind: K }>

/** An SVID of the workload, with data of the demo. */
export interface Held extends HeldLine {
  /** When it arrived, where its bar begins. */
  readonly receivedAt: number
  readonly rotations: number
}

/** The state of the demo. */
export interface Story {
  readonly server: Of<'server'> | null
  readonly agent: Of<'agent'> | null
  readonly node: (Of<'node'> & { readonly receivedAt: number; readonly renewals: number }) | null
  /** By SPIFFE ID. */
  readonly entries: ReadonlyMap<string, Of<'entry'>>
  readonly workload: Of<'workload'> | null
  readonly selectors: Readonly<Record<string, string>> | null
  /** By dialect, in the order of the last message. */
  readonly held: ReadonlyMap<DialectName, readonly Held[]>
  readonly waiting: Of<'waiting'> | null
}

export const BEGINNING: Story = {
  server: null,
  agent: null,
  node: null,
  entries: new Map(),
  workload: null,
  selectors: null,
  held: new Map(),
  waiting: null,
}

/** The story after an event. `now` in milliseconds since 1970. */
export function tell(story: Story, event: DemoEvent, now: number): Story {
  switch (event.kind) {
    case 'server':
      return { ...story, server: event }
    case 'agent':
      return { ...story, agent: event }
    case 'workload':
      return { ...story, workload: event }
    case 'entry':
      return { ...story, entries: new Map([...story.entries, [event.spiffeId, event]]) }
    case 'node':
      return { ...story, node: { ...event, receivedAt: now, renewals: (story.node?.renewals ?? -1) + 1 } }
    case 'attested':
      // Other processes may use the socket too; the demo shows only its own workload.
      return story.workload && story.workload.pid !== event.pid ? story : { ...story, selectors: event.selectors }
    case 'holds': {
      const held = received(story.held.get(event.dialect) ?? [], event.svids, now)
      return { ...story, held: new Map([...story.held, [event.dialect, held]]), waiting: null }
    }
    case 'waiting':
      return { ...story, waiting: event }
    case 'denied':
    case 'warning':
      return story
  }
}

function received(before: readonly Held[], svids: readonly HeldLine[], now: number): Held[] {
  return svids.map((svid) => {
    const old = before.find(({ spiffeId }) => spiffeId === svid.spiffeId)
    if (old?.serial === svid.serial) return old
    return { ...svid, receivedAt: now, rotations: old ? old.rotations + 1 : 0 }
  })
}

/** True once the workload holds the same verified SVIDs in both dialects and its selectors are known. */
export function isComplete({ held, selectors }: Story): boolean {
  const [spiffe, authsec] = [serials(held.get('spiffe')), serials(held.get('authsec'))]
  return selectors !== null && spiffe !== '' && spiffe === authsec
}

function serials(held: readonly Held[] | undefined): string {
  return (held ?? []).map(({ serial }) => serial).join()
}
