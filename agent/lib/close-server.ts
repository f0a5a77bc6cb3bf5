/** Closes an HTTP server and every connection that it has. */
export async function closeServer(server: {
  close(closed: () => void): unknown
  closeAllConnections(): void
}): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeAllConnections()
  await closed
}
