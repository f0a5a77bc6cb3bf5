/**
 * The address of the Kubernetes API from the environment of every pod (`KUBERNETES_SERVICE_HOST`,
 * `KUBERNETES_SERVICE_PORT`): `https://10.96.0.1:443`, `https://[fd00::1]:443`. Null outside of pods.
 */
export function kubernetesApi(env: Readonly<Record<string, string | undefined>>): string | null {
  const host = env['KUBERNETES_SERVICE_HOST']?.trim()
  if (!host) return null
  const port = env['KUBERNETES_SERVICE_PORT']?.trim() || '443'
  return `https://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`
}
