/** A value of the chart with the comment that documents it. */
interface DocumentedValue {
  readonly key: string
  readonly text: string
  readonly value: string
}

/** The table of values, made of the `# --` comments of values.yaml. */
export function valuesTable(yaml: string): string {
  const rows = documentedValues(yaml).map(({ key, value, text }) => `| \`${key}\` | \`${value}\` | ${text} |`)
  return ['| value | default | what it does |', '|---|---|---|', ...rows].join('\n')
}

function documentedValues(yaml: string): readonly DocumentedValue[] {
  const found: DocumentedValue[] = []
  const path: { readonly indent: number; readonly name: string }[] = []
  let comment: string | null = null
  for (const line of yaml.split('\n')) {
    const note = /^\s*# (?:-- )?(.*)$/.exec(line)
    if (note) {
      if (/^\s*# -- /.test(line)) comment = note[1] ?? ''
      else if (comment !== null) comment += ` ${note[1] ?? ''}`
      continue
    }
    const pair = /^(\s*)([A-Za-z][\w]*):\s*(.*)$/.exec(line)
    if (!pair) {
      comment = null
      continue
    }
    const [, spaces = '', name = '', value = ''] = pair
    while (path.length > 0 && (path.at(-1)?.indent ?? 0) >= spaces.length) path.pop()
    path.push({ indent: spaces.length, name })
    if (comment !== null) {
      found.push({ key: path.map((part) => part.name).join('.'), text: comment.trim(), value: value || '…' })
    }
    comment = null
  }
  return found
}
