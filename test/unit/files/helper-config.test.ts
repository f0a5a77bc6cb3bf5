import { describe, expect, test } from 'vitest'
import { readHelperConfig } from '../../../agent/files/helper-config.js'

const X509 = 'svid_file_name = "a.pem"\nsvid_key_file_name = "k.pem"\nsvid_bundle_file_name = "b.pem"\n'
const read = (text: string) => readHelperConfig(text, 'helper.conf')

test('every documented flat key is read', () => {
  const config = read(`
    # of a node
    agent_address = "/tmp/spire-agent/public/api.sock"  // a path
    cmd = "ghostunnel"
    cmd_args = "server --listen \\"localhost 8002\\" --target x"
    cert_dir = "certs"
    renew_signal = "SIGUSR1"
    ${X509}
    jwt_svids = [{jwt_audience="one", jwt_extra_audiences=["two", "three"], jwt_svid_file_name="jwt.token"}]
    jwt_bundle_file_name = "bundle.json"
    cert_file_mode = 0444 key_file_mode = 0440
    jwt_bundle_file_mode = 0444, jwt_svid_file_mode = 0400
    /* more
       of it */
    hint = "internal"
    daemon_mode = false
    add_intermediates_to_bundle = true
    include_federated_domains = true
    pid_file_name = "/run/x.pid"
    health_checks { listener_enabled = false }
  `)
  expect(config).toEqual({
    plan: expect.objectContaining({
      certificate: 'a.pem',
      key: 'k.pem',
      bundle: 'b.pem',
      combined: null,
      jwks: 'bundle.json',
      jwksForm: 'base64',
      jwtSvids: [{ name: 'jwt.token', audience: ['one', 'two', 'three'] }],
      federated: 'merged',
      intermediatesInBundle: true,
      modes: { certificate: 0o444, key: 0o440, jwtSvid: 0o400, jwks: 0o444 },
    }),
    directory: 'certs',
    agentAddress: '/tmp/spire-agent/public/api.sock',
    hint: 'internal',
    daemon: false,
    command: ['ghostunnel', 'server', '--listen', 'localhost 8002', '--target', 'x'],
    pidFile: '/run/x.pid',
    renewSignal: 'SIGUSR1',
  })
})

test('what is left out is as spiffe-helper has it', () => {
  const { plan, daemon, command, directory } = read(X509)
  expect(plan.modes).toEqual({ certificate: 0o644, key: 0o600, jwtSvid: 0o600, jwks: 0o600 })
  expect([plan.federated, plan.intermediatesInBundle, daemon, command, directory]).toEqual([
    'none',
    false,
    true,
    null,
    '.',
  ])
})

describe('refused, with the line', () => {
  test.each([
    [`${X509}svid_filename = "x"`, 'helper.conf:4: the key svid_filename is unknown'],
    [`${X509}cert_dir = certs`, 'helper.conf:4: the text certs must be in double quotes'],
    [`${X509}cert_dir "certs"`, 'helper.conf:4: a = is missing after the key cert_dir'],
    [`${X509}daemon_mode = "no"`, 'helper.conf:4: daemon_mode must be true or false'],
    [`${X509}key_file_mode = 0888`, 'helper.conf:4: key_file_mode must be permission bits'],
    [`${X509}key_file_mode = 1000`, 'helper.conf:4: key_file_mode must be permission bits'],
    [`${X509}cert_dir = "certs`, 'helper.conf:4: a text between quotes does not end'],
    [`${X509}/* never`, 'helper.conf:4: a comment does not end'],
    [`${X509}jwt_svids = [{jwt_audience="a", file="b"}]`, 'jwt_svids has the unknown key file'],
    [`${X509}jwt_svids = [{jwt_svid_file_name="b"}]`, 'jwt_svids needs jwt_audience'],
    [`${X509}health_checks { listener_enabled = true }`, 'health_checks are not supported'],
    [`${X509}pid_file_name = "x"`, 'pid_file_name needs renew_signal'],
    ['svid_file_name = "a.pem"', 'belong together'],
    ['cert_dir = "certs"', 'it names no file'],
    [X509.replace('a.pem', '../a.pem'), 'must be the name of a file'],
    [X509.replace('a.pem', '..data'), 'must not begin with two dots'],
    [X509.replace('a.pem', 'k.pem'), 'two files have the same name'],
    [`${X509}}`, 'there is an unmatched }'],
    [`jwt_svids = ${'['.repeat(50)}`, 'nested too deeply'],
  ])('%j', (text, problem) => {
    expect(() => read(text)).toThrowError(
      expect.objectContaining({ code: 'config.invalid', message: expect.stringContaining(problem) }),
    )
  })
})
