/** systemd.unit(5): at most 255 characters, a name, perhaps an instance, and a type. */
const NAME = /^[\w:.\\-]+(?:@[\w:.\\@-]+)?\.(?:service|scope|slice|socket|mount|swap)$/
const MAX_LENGTH = 255

/**
 * The unit that a control group of this name is for, or null. systemd writes an underscore before names that could be
 * taken for a file of the kernel's (`_cpu.service`).
 */
export function unitOfGroup(segment: string): string | null {
  const name = segment.startsWith('_') ? segment.slice(1) : segment
  return name.length <= MAX_LENGTH && NAME.test(name) && !name.endsWith('.slice') ? name : null
}

/**
 * Whether systemd makes a slice of this name below that one: `a-b.slice` stands below `a.slice`, which stands at the
 * top. Null: the top itself.
 */
export function isSliceBelow(segment: string, parent: string | null): boolean {
  if (!segment.endsWith('.slice') || segment.length > MAX_LENGTH || !NAME.test(segment)) return false
  const dash = segment.lastIndexOf('-')
  return parent === null ? dash === -1 : dash > 0 && `${segment.slice(0, dash)}.slice` === parent
}

/** `org.freedesktop.systemd1.Service`: where a unit says which control group is its own. */
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
