import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { placeRemedy } from '../../../agent/main/place-remedy.js'

const places = { dataDir: '/var/lib/icp-agent', socketPath: '/run/spire/sockets/agent.sock' }
const told = (path: string, errno: string) => {
  const error = new AgentError('file.io', 'cannot create the directory', { details: { path, errno } })
  return placeRemedy(error, places).remedy
}

describe('an agent that may not make its directories', () => {
  test.each([
    ['/var/lib/icp-agent', 'EACCES'],
    ['/run/spire', 'EACCES'],
    ['/run/spire/sockets', 'EROFS'],
  ])('is told which settings choose others: %s, %s', (path, errno) => {
    expect(told(path, errno)).toContain('agent.data_dir and agent.socket_path')
  })

  test.each([
    ['/run/spire-other', 'EACCES'],
    ['/etc/icp-agent/trust-bundle.pem', 'EACCES'],
    ['/var/lib/icp-agent', 'ENOSPC'],
  ])('is told so for nothing else: %s, %s', (path, errno) => {
    expect(told(path, errno)).toBeUndefined()
  })

  test('is told nothing of other errors', () => {
    expect(placeRemedy(new Error('x'), places)).toEqual({})
  })
})
