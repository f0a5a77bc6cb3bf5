/** One DER element of fewer than 65,536 bytes, for tests that need what no library would write. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const octets = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...octets]), content])
}

/** GeneralNames of the forms that constraints are made of. */
export const generalName = {
  uri: (text: string) => der(0x86, Buffer.from(text)),
  dns: (text: string) => der(0x82, Buffer.from(text)),
  email: (text: string) => der(0x81, Buffer.from(text)),
  /** Address and mask. */
  ip: (...octets: number[]) => der(0x87, Buffer.from(octets)),
  directory: () => der(0xa4, der(0x30)),
  other: () => der(0xa0, Buffer.from('06032a0304a0020500', 'hex')),
}

/** The value of a nameConstraints extension. */
export function nameConstraints(permitted: readonly Buffer[], excluded: readonly Buffer[] = []): Buffer {
  const subtrees = (tag: number, bases: readonly Buffer[]) =>
    bases.length === 0 ? [] : [der(tag, ...bases.map((base) => der(0x30, base)))]
  return der(0x30, ...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded))
}
