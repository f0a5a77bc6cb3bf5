/** The beginning of a text for a list: up to the end of the first clause, and not too long. */
export function shortText(text: string): string {
  const clause = /^.*?(?=[;.] |\.$|$)/.exec(text)?.[0] ?? text
  return clause.length > 72 ? `${clause.slice(0, 69).trimEnd()}...` : clause
}
