import fc from 'fast-check'

/** One change to some bytes. Positions are fractions, so that a case means the same for inputs of every length. */
type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'set'; readonly at: number; readonly octet: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove'; readonly at: number; readonly count: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly count: number }
  | { readonly kind: 'cut'; readonly at: number }

/** A fraction below one, each as likely: doubles themselves are nearly all next to nothing. */
export const fraction = fc.nat(2 ** 31 - 2).map((part) => part / (2 ** 31 - 1))
const at = fraction
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('set' as const), at, octet: fc.nat(255) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('insert' as const),
      at,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('remove' as const), at, count: fc.integer({ min: 1, max: 8 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('repeat' as const), at, count: fc.integer({ min: 1, max: 64 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), at }) },
)

/** One to four mutations; mostly one, which gets furthest into a parser. */
export const mutations: fc.Arbitrary<readonly Mutation[]> = fc.oneof(
  { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(mutation, { minLength: 2, maxLength: 4 }) },
)

export function mutated(original: Uint8Array, changes: readonly Mutation[]): Buffer {
  let bytes = Buffer.from(original)
  for (const change of changes) {
    const place = Math.floor(change.at * bytes.length)
    const before = bytes.subarray(0, place)
    switch (change.kind) {
      case 'flip':
        bytes = Buffer.from(bytes)
        if (bytes.length > 0) bytes[place] = (bytes[place] ?? 0) ^ (1 << change.bit)
        break
      case 'set':
        bytes = Buffer.from(bytes)
        if (bytes.length > 0) bytes[place] = change.octet
        break
      case 'insert':
        bytes = Buffer.concat([before, change.bytes, bytes.subarray(place)])
        break
      case 'remove':
        bytes = Buffer.concat([before, bytes.subarray(place + change.count)])
        break
      case 'repeat':
        bytes = Buffer.concat([before, bytes.subarray(place, place + change.count), bytes.subarray(place)])
        break
      case 'cut':
        bytes = Buffer.from(before)
        break
    }
  }
  return bytes
}

/** A real text with some characters changed. */
export function mutatedText(original: string, changes: readonly Mutation[]): string {
  return mutated(Buffer.from(original), changes).toString('utf8')
}

/** JSON with one value in it, somewhere, replaced by another or left out. */
export function mutatedJson(original: unknown): fc.Arbitrary<unknown> {
  const paths = pathsOf(original)
  return fc
    .tuple(fc.constantFrom(...paths), fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(...STRANGE)))
    .map(([path, value]) => replaced(original, path, value))
}

const STRANGE: readonly unknown[] = [
  undefined,
  null,
  '',
  0,
  -1,
  1e308,
  true,
  [],
  {},
  [[]],
  '\u0000',
  '\ud800',
  'spiffe://td/../x',
  'x'.repeat(10_000),
  { __proto__: null, constructor: 1 },
  JSON.parse('{"__proto__":{"polluted":true}}'),
]

function pathsOf(value: unknown, prefix: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [prefix]
  return [prefix, ...Object.entries(value).flatMap(([key, member]) => pathsOf(member, [...prefix, key]))]
}

function replaced(value: unknown, path: readonly string[], by: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return by
  if (Array.isArray(value)) return value.map((member, i) => (String(i) === key ? replaced(member, rest, by) : member))
  const entries = Object.entries(value as object).map(([name, member]) => [
    name,
    name === key ? replaced(member, rest, by) : member,
  ])
  return Object.fromEntries(entries)
}
