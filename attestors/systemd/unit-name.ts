/** systemd.unit(5): a name, optionally an instance, and a type; at most 255 characters. */
const NAME = /^[\w:.\\-]+(?:@[\w:.\\@-]+)?\.(?:service|scope|slice|socket|mount|swap)$/
const MAX_LENGTH = 255

/**
 * The unit of a control group with this name, or null. systemd puts an underscore before names that could be confused with
 * a file of the kernel (`_cpu.service`).
 */
export function unitOfGroup(segment: string): string | null {
  const name = segment.startsWith('_') ? segment.slice(1) : segment
  return name.length <= MAX_LENGTH && NAME.test(name) && !name.endsWith('.slice') ? name : null
}

/**
 * Whether systemd puts a slice of this name below that one: `a-b.slice` is below `a.slice`, which is at the top. Null: the
 * top itself.
 */
export function isSliceBelow(segment: string, parent: string | null): boolean {
  if (!segment.endsWith('.slice') || segment.length > MAX_LENGTH || !NAME.test(segment)) return false
  const dash = segment.lastIndexOf('-')
  return parent === null ? dash === -1 : dash > 0 && `${segment.slice(0, dash)}.slice` === parent
}

/** `org.freedesktop.systemd1.Service`: the interface with the unit's control group. */
export function interfaceOf(unit: string): string {
  const type = unit.slice(unit.lastIndexOf('.') + 1)
  return `org.freedesktop.systemd1.${type.slice(0, 1).toUpperCase()}${type.slice(1)}`
}

/** The D-Bus object of a unit: every byte but letters and digits is written as `_xx`, and so is a leading digit. */
export function objectPathOf(unit: string): string {
  const escaped = [...Buffer.from(unit)].map((byte, i) => {
    const char = String.fromCharCode(byte)
    const plain = i === 0 ? /[A-Za-z]/ : /[A-Za-z0-9]/
    return plain.test(char) ? char : `_${byte.toString(16).padStart(2, '0')}`
  })
  return `/org/freedesktop/systemd1/unit/${escaped.join('')}`
}
