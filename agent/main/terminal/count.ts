/** `one problem`, `3 problems`; `many` is an irregular plural. */
export function count(n: number, one: string, many = `${one}s`): string {
  return n === 1 ? `one ${one}` : `${n} ${many}`
}
