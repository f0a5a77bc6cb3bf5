/** A file of a tar; names have at most 100 characters of ASCII. */
export interface TarFile {
  readonly name: string
  readonly content: Buffer
}

const BLOCK = 512

/** A tar in the ustar format of POSIX.1: regular files of mode 0600, owned by root. `at`: milliseconds since 1970. */
export function tarOf(files: readonly TarFile[], at: number): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)
    return [header(name, content.length, at), content, padding]
  })
  // Two empty blocks end it.
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)])
}

function header(name: string, size: number, at: number): Buffer {
  if (!/^[\x21-\x7e]{1,100}$/.test(name)) throw new TypeError('a name in a tar has 1 to 100 characters of ASCII')
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, offset: number, length: number) =>
    block.write(value.toString(8).padStart(length - 1, '0'), offset, 'ascii')
  block.write(name, 0, 'ascii')
  octal(0o600, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(Math.floor(at / 1000), 136, 12)
  block.write('        ', 148, 'ascii')
  block.write('0', 156, 'ascii')
  block.write('ustar\0' + '00', 257, 'ascii')
  block.write('root', 265, 'ascii')
  block.write('root', 297, 'ascii')
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii')
  return block
}
