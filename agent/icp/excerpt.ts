const MAX_LENGTH = 300
const JWT = /[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g
const PEM = /-----BEGIN [\s\S]*?(?:-----END [A-Z0-9 ]*-----|$)/g

/**
 * Makes text of the server fit for a message or a log: removes secrets of the request and anything that looks like a token
 * or PEM, escapes control and formatting characters (line feeds, escapes, bidirectional marks), and truncates to 300
 * characters.
 */
export function excerpt(text: string, secrets: readonly string[] = []): string {
  let safe = text.slice(0, 4096)
  for (const secret of secrets) if (secret.length >= 4) safe = safe.replaceAll(secret, '[redacted]')
  safe = safe.replace(PEM, '[redacted]').replace(JWT, '[redacted]')
  safe = safe.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
  return safe.length > MAX_LENGTH ? `${safe.slice(0, MAX_LENGTH)}…` : safe
}
