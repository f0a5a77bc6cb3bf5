/** The value of `icp_service.proxy` that means no proxy, whatever the environment says. */
export const NO_PROXY_ADDRESS = 'none'
export const PROXY_REMEDY = 'use http://HOST:PORT, or unset it; NO_PROXY exempts the host of the ICP server'

/** The URL of a proxy, also without its scheme (`proxy.example:3128`), as curl accepts it; null if it is not one. */
export function proxyAddress(text: string): string | null {
  const address = text.includes('://') ? text : `http://${text}`
  return usable(address) ? address : null
}

function usable(proxy: string): boolean {
  if (!URL.canParse(proxy)) return false
  const { protocol, username, password } = new URL(proxy)
  try {
    // A `%` that begins no escape is refused: the credentials are sent decoded.
    decodeURIComponent(username + password)
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
  return protocol === 'http:' || protocol === 'https:'
}
