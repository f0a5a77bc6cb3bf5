import { bar, lifeColour, remaining } from '../../agent/main/terminal/bar.js'
import type { Style } from '../../agent/main/terminal/style.js'
import { span } from '../../agent/main/terminal/time.js'
import { printable } from '../../agent/observability/printable.js'
import type { DemoEvent } from './events.js'
import type { Held, Story } from './story.js'

const BAR_WIDTH = 24

/**
 * The lines for an event; empty if it has no news. `story` is the state before the event; `brief` omits the content of the
 * board.
 */
export function eventLines(event: DemoEvent, story: Story, now: number, style: Style, brief = false): string[] {
  const { bold, cyan, dim, red, yellow } = style
  const says = (who: keyof typeof PAINT, text: string) => [`${style[PAINT[who]](who.padEnd(8))}  ${text}`]
  switch (event.kind) {
    case 'server':
      return says('server', `listens at ${event.address} ${dim(`(embedded ICP server, pid ${event.pid})`)}`)
    case 'entry':
      return says('server', `entry ${cyan(event.spiffeId)} for processes with ${selectorText(event.selectors)}`)
    case 'agent': {
      const serves = says('agent', `serves the Workload API at unix://${event.socket} ${dim(`(pid ${event.pid})`)}`)
      if (brief) return serves
      return [...serves, `${dim('try it'.padEnd(8))}  in another terminal: ${tryIt(event.socket).join(' ')}`]
    }
    case 'node': {
      if (event.renewed) return says('agent', `renews its own SVID, ${span(event.notAfter - now)} left`)
      const token = event.withToken && !brief ? dim(' (its join token is used up)') : ''
      return says('agent', `attests its node and is ${cyan(event.spiffeId)}${token}`)
    }
    case 'workload':
      return says('workload', `starts as pid ${event.pid}, ${dim('knowing nothing but the address of the socket')}`)
    case 'attested': {
      const found = brief ? `${Object.keys(event.selectors).length} selectors` : selectorText(event.selectors)
      return says('agent', `attests pid ${event.pid} by the kernel's word: ${dim(found)}`)
    }
    case 'holds':
      return holdLines(event, story, now, style).flatMap((text) => says('workload', text))
    case 'waiting':
      return story.waiting?.text === event.text ? [] : says('workload', yellow(`waits: ${printable(event.text)}`))
    case 'denied':
      return says('agent', `${red('denies')} pid ${event.pid} (uid ${event.uid}): ${dim(printable(event.reason))}`)
    case 'warning':
      return says('agent', yellow(bold(printable(event.text))))
  }
}

const PAINT = { server: 'magenta', agent: 'blue', workload: 'green' } as const

function holdLines(
  { dialect, changes, svids }: Extract<DemoEvent, { kind: 'holds' }>,
  story: Story,
  now: number,
  { bold, cyan, dim, green, red, yellow }: Style,
): string[] {
  // Both dialects have the same content, so the second one is mentioned once.
  if (dialect === 'authsec') return story.held.has(dialect) ? [] : [dim('gets the same in the AuthSec dialect (PEM)')]
  return changes.map(({ kind, about }) => {
    const svid = svids.find(({ spiffeId }) => spiffeId === about)
    const old = story.held.get(dialect)?.find(({ spiffeId }) => spiffeId === about)
    const left = svid ? `${span(svid.notAfter - now + 500)} to live` : ''
    if (kind === 'granted') return `${green(bold('+'))} ${cyan(about)} ${dim(`received and verified, ${left}`)}`
    if (kind === 'rotated' && old && svid) {
      const serials = `serial ${short(old.serial)} → ${short(svid.serial)}`
      return `${green(bold('↻'))} ${cyan(about)} ${dim(`rotated with ${span(old.notAfter - now)} left, ${serials}`)}`
    }
    if (kind === 'withdrawn') return `${red(bold('−'))} ${cyan(about)} ${dim('withdrawn')}`
    return `${yellow(bold('~'))} ${printable(about)} ${dim(kind === 'bundle' ? 'has another bundle' : kind)}`
  })
}

/** The command that shows a process of one's own its SVIDs, in two parts. */
export function tryIt(socket: string): readonly [string, string] {
  return ['npx icp-agent api watch x509', `--socket unix://${socket}`]
}

/** One line for an SVID: its bar, remaining time, and SPIFFE ID. */
export function lifeLine(held: Held, now: number, style: Style): string {
  const fraction = remaining(held, now)
  const { full, empty } = bar(fraction, BAR_WIDTH)
  const left = span(held.notAfter - now).padStart(5)
  return `${lifeColour(fraction, style)(full)}${style.dim(empty)} ${left}  ${style.cyan(held.spiffeId)}`
}

/** `unix:uid=0 unix:path=/usr/bin/node`; digests are truncated. */
export function selectorText(selectors: Readonly<Record<string, string>>): string {
  return Object.entries(selectors)
    .map(
      ([key, value]) =>
        `${printable(key)}=${printable(/^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : value)}`,
    )
    .join(' ')
}

export function short(serial: string): string {
  return `${serial.slice(0, 8)}…`
}
