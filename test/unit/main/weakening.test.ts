import { describe, expect, it } from 'vitest'
import { weakeningOf } from '../../../agent/main/weakening.js'

describe('what weakens a process', () => {
  it.each([
    'NODE_PATH',
    'NODE_COMPILE_CACHE',
    'NODE_DEBUG',
    'NODE_V8_COVERAGE',
    'OPENSSL_CONF',
    'OPENSSL_MODULES',
    'SSLKEYLOGFILE',
    'GRPC_TRACE',
    'LOG_TOKENS',
    'WATCH_REPORT_DEPENDENCIES',
  ])('%s is named, its value is not', (name) => {
    expect(weakeningOf({ [name]: 'hunter22', PATH: '/bin' })).toEqual({
      ignored: [name],
      variables: [name],
      nodeOptions: '',
    })
    expect(weakeningOf({ [name]: '' }).ignored).toEqual([])
  })

  it('is NODE_TLS_REJECT_UNAUTHORIZED at 0, and at no other value', () => {
    const name = 'NODE_TLS_REJECT_UNAUTHORIZED'
    expect(weakeningOf({ [name]: '0' })).toEqual({ ignored: [name], variables: [name], nodeOptions: '' })
    for (const value of ['1', 'true', 'false', '00', ' 0']) expect(weakeningOf({ [name]: value }).ignored).toEqual([])
  })

  it('is none of what operators need', () => {
    const needed = {
      SSL_CERT_FILE: '/a',
      SSL_CERT_DIR: '/b',
      NODE_EXTRA_CA_CERTS: '/c',
      HTTPS_PROXY: 'http://proxy:3128',
      UV_THREADPOOL_SIZE: '8',
      NODE_ENV: 'production',
      NODE_OPTIONS: '--max-old-space-size=300 --no-warnings',
    }
    expect(weakeningOf(needed)).toEqual({ ignored: [], variables: [], nodeOptions: needed.NODE_OPTIONS })
  })
})

describe('of NODE_OPTIONS', () => {
  const of = (text: string) => {
    const { ignored, nodeOptions } = weakeningOf({ NODE_OPTIONS: text })
    return [ignored.join(), nodeOptions]
  }

  it.each<[string, string, string]>([
    ['--require /tmp/a.js --max-old-space-size=300', '--require', '--max-old-space-size=300'],
    ['-r /tmp/a.js --max_old_space_size 300', '-r', '--max_old_space_size 300'],
    ['--import=/tmp/a.mjs --loader /tmp/b.mjs', '--import, --loader', ''],
    ['--tls-min-v1.0 --tls-min-v1.2', '--tls-min-v1.0', '--tls-min-v1.2'],
    ['--tls-keylog=/tmp/keys --insecure-http-parser', '--tls-keylog, --insecure-http-parser', ''],
    ['--openssl-config=/x --no-disable-sigusr1', '--openssl-config, --no-disable-sigusr1', ''],
    ['--heapsnapshot-signal=SIGUSR2 --report-on-signal', '--heapsnapshot-signal, --report-on-signal', ''],
    ['--inspect-port=1 --unhandled-rejections=none', '--inspect-port, --unhandled-rejections', ''],
    ['--disable-proto=throw --frozen-intrinsics', '--disable-proto, --frozen-intrinsics', ''],
    ['--require=a --require=b', '--require', ''],
    [
      '--title "the \\"agent\\" here" --stack-trace-limit=5',
      '',
      '--title "the \\"agent\\" here" --stack-trace-limit=5',
    ],
    ['--require "/a b/--title=x" --title=y', '--require', '--title=y'],
    ['"--require" x', '--require', ''],
    ['s3cret', 'not an option', ''],
    ['   ', '', ''],
  ])('%s: without effect is %s', (text, lost, kept) => {
    expect(of(text)).toEqual([lost === '' ? '' : `NODE_OPTIONS (${lost})`, kept])
  })
})
