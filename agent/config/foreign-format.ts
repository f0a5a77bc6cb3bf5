const FORMATS: readonly (readonly [begins: RegExp, problem: string])[] = [
  [/^[\w-]+(?:\s+"[^"]*")?\s*\{/, "is HCL, as SPIRE's configuration is, not YAML"],
  [/^\[{1,2}[\w.-]+\]{1,2}$/, 'is TOML or INI, not YAML'],
  [/^(?:export\s+)?[\w.-]+\s*=/, 'is a list of NAME=value, not YAML'],
]

/** If the text is in another format than YAML: its first line with content, counted from 0, and the problem; else null. */
export function foreignFormat(text: string): { readonly line: number; readonly problem: string } | null {
  const lines = text.split('\n').map((line) => line.trim())
  const line = lines.findIndex((content) => content !== '' && !/^(?:#|\/\/)/.test(content))
  const first = lines[line]?.slice(0, 200)
  const problem = first === undefined ? undefined : FORMATS.find(([begins]) => begins.test(first))?.[1]
  return problem === undefined ? null : { line, problem }
}
