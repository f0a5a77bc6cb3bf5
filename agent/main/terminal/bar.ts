import type { Style } from './style.js'

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** A bar of `width` columns, filled to a fraction in [0, 1] with a resolution of an eighth of a column. */
export function bar(fraction: number, width: number): { readonly full: string; readonly empty: string } {
  const eighths = Math.round(Math.min(1, Math.max(0, fraction)) * width * 8)
  const full = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '')
  return { full, empty: '░'.repeat(Math.max(0, width - Math.ceil(eighths / 8))) }
}

/** The remaining fraction of a validity period, from 1 to 0. */
export function remaining(life: { receivedAt: number; notAfter: number }, now: number): number {
  const whole = life.notAfter - life.receivedAt
  return whole <= 0 ? 0 : Math.min(1, Math.max(0, (life.notAfter - now) / whole))
}

/** Green, then yellow, then red as the remaining fraction shrinks. */
export function lifeColour(fraction: number, { green, yellow, red }: Style): (text: string) => string {
  return fraction > 0.4 ? green : fraction > 0.2 ? yellow : red
}
