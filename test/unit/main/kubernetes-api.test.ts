import { expect, test } from 'vitest'
import { kubernetesApi } from '../../../agent/main/kubernetes-api.js'

test.each([
  [{}, null],
  [{ KUBERNETES_SERVICE_HOST: '' }, null],
  [{ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '6443' }, 'https://10.96.0.1:6443'],
  [{ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, 'https://10.96.0.1:443'],
  [{ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }, 'https://[fd00::1]:443'],
])('the environment %j names the Kubernetes API %s', (env, expected) => {
  expect(kubernetesApi(env)).toBe(expected)
})
