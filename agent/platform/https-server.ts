import { createServer, type Server, type ServerOptions } from 'node:https'

const MIN_VERSION = 'TLSv1.2'

/** An HTTPS server without a certificate, which refuses handshakes until it gets one. */
export function httpsServer(options: ServerOptions) {
  const server: Server = createServer({ ...options, minVersion: MIN_VERSION })
  return {
    server,
    use({ certificate, key }: { readonly certificate: string; readonly key: string }): void {
      server.setSecureContext({ minVersion: MIN_VERSION, cert: certificate, key })
    },
  }
}
