import { printable } from '../observability/printable.js'

/**
 * One log line for people, made from the JSON line: `time LEVEL logger: event key=value …`. Nested values are JSON,
 * errors are spread (`error.code=… error.message=…`), and control characters are escaped, so that no value can change
 * the terminal or imitate another line.
 */
export function consoleLine(json: string): string {
  const {
    timestamp,
    level: _,
    severity,
    logger,
    app: __,
    event,
    ...fields
  } = JSON.parse(json) as Record<string, unknown>
  const words = [...spread(fields)].map(([key, value]) => `${printable(key)}=${shown(value)}`)
  const head = `${String(timestamp)} ${String(severity).padEnd(7)} ${String(logger)}: ${printable(String(event))}`
  return `${[head, ...words].join(' ')}\n`
}

function* spread(fields: Record<string, unknown>): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(fields)) {
    if (!isRecord(value) || !('code' in value) || !('message' in value)) yield [key, value]
    else for (const [part, inner] of Object.entries(value)) yield [`${key}.${part}`, inner]
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+-]+$/.test(value)) return value
  return printable(JSON.stringify(value))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
