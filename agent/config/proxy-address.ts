/** `icp_service.proxy`: none at all, whatever the environment says. */
export const NO_PROXY_ADDRESS = 'none'
export const PROXY_REMEDY = 'use http://HOST:PORT, or unset it; NO_PROXY exempts the host of the ICP server'

/** The URL of a proxy as it was written (`proxy.example:3128` too, as curl and others take it); null where it is none. */
export function proxyAddress(text: string): string | null {
  const address = text.includes('://') ? text : `http://${text}`
  return usable(address) ? address : null
}

function usable(proxy: string): boolean {
  if (!URL.canParse(proxy)) return false
  const { protocol, username, password } = new URL(proxy)
  try {
    // As they are sent: `%` stands for itself nowhere.
    decodeURIComponent(username + password)
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
  return protocol === 'http:' || protocol === 'https:'
}
