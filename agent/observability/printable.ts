// C0, DEL, C1, line and paragraph separators, marks that reorder or hide text, lone halves of a surrogate pair.
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression finds control characters
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** Characters that JSON does not escape and a terminal may act on: DEL, C1, separators, reading direction. */
const OBEYED_BY_TERMINALS = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** The same JSON value, written so that a terminal acts on none of its characters. */
export function terminalSafe(json: string): string {
  return json.replace(OBEYED_BY_TERMINALS, escaped)
}

/**
 * Escapes (`\u001b`) everything that could move a cursor, colour a terminal, begin a line or change the reading direction.
 * For values from callers, labels and the server, wherever people read them.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped)
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
