import type { Change } from '../client/changes.js'
import type { HeldSvid, X509Context } from '../client/x509-context.js'
import { printable } from '../observability/printable.js'
import { count } from './terminal/count.js'
import type { Style } from './terminal/style.js'
import { table } from './terminal/table.js'
import { moment, span } from './terminal/time.js'

/** A message as text for people: each identity with its certificate and its bundle. */
export function contextText(context: X509Context, now: number, style: Style): string {
  const federated = [...context.federated.values()].map(({ trustDomain, authorities }) => [
    trustDomain,
    count(authorities.length, 'authority', 'authorities'),
  ])
  return [
    ...context.svids.map((held, i) => svidText(held, i, now, style)),
    ...(federated.length > 0 ? [`${style.bold('Federated trust domains')}\n${table([{}, {}], federated, 4)}`] : []),
  ].join('\n')
}

function svidText({ svid, hint, bundle }: HeldSvid, index: number, now: number, style: Style): string {
  const { bold, cyan, dim } = style
  const rows = [
    ['serial', svid.serial],
    ['valid', `${moment(svid.notBefore)} to ${moment(svid.notAfter)}, ${span(svid.notAfter - now)} left`],
    ['chain', count(svid.chain.length, 'certificate')],
    ['trusts', `${bundle.trustDomain} (${count(bundle.authorities.length, 'authority', 'authorities')})`],
    ...(hint === '' ? [] : [['hint', hint]]),
  ]
  const title = `${cyan(bold(svid.spiffeId.uri))}${index === 0 ? dim('  default identity') : ''}`
  return `${title}\n${table([{ paint: dim }, {}], rows, 4)}`
}

/** One line for each change. */
export function changeText(change: Change, now: number, { green, yellow, red, cyan, dim }: Style): string {
  switch (change.kind) {
    case 'granted':
      return `${green('+')} ${cyan(change.svid.svid.spiffeId.uri)} ${dim(validity(change.svid, now))}`
    case 'rotated':
      return `${green('↻')} ${cyan(change.svid.svid.spiffeId.uri)} ${dim(
        `renewed with ${span(change.before.svid.notAfter - now)} left; ${validity(change.svid, now)}`,
      )}`
    case 'withdrawn':
      return `${red('−')} ${cyan(change.svid.svid.spiffeId.uri)} ${dim('withdrawn')}`
    case 'default':
      return `${yellow('!')} ${cyan(change.svid.svid.spiffeId.uri)} ${dim('is the default identity now')}`
    case 'bundle':
      return `${yellow('~')} ${printable(change.trustDomain)} ${dim(
        `trusts ${count(change.authorities, 'authority', 'authorities')} now (${change.added} new, ${change.removed} gone)`,
      )}`
  }
}

function validity({ svid }: HeldSvid, now: number): string {
  return `serial ${svid.serial.slice(0, 11)}…, ${span(svid.notAfter - now)} left`
}
