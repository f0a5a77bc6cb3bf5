/** `one problem`, `3 problems`; `many` is the plural where it is not made with an s. */
export function count(n: number, one: string, many = `${one}s`): string {
  return n === 1 ? `one ${one}` : `${n} ${many}`
}
