import { rootCertificates } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { environmentSource, systemRoots } from '../../../agent/platform/system-roots.js'
import { TemporaryFiles } from '../../fakes/files.js'

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

describe('the roots of the system', () => {
  let files: TemporaryFiles
  beforeEach(async () => {
    files = await TemporaryFiles.create()
  })
  afterEach(() => files[Symbol.asyncDispose]())

  it('are there without being told where', () => {
    const texts = systemRoots()
    expect(texts.join('').match(/BEGIN CERTIFICATE/g)?.length).toBeGreaterThan(10)
  })

  it('are those of SSL_CERT_FILE where it is set', async () => {
    await files.writeAtomically(files.path('roots.pem'), Buffer.from(PEM))
    expect(systemRoots({ file: files.path('roots.pem') })).toEqual([PEM])
  })

  it("are the distribution's where SSL_CERT_FILE holds none", async () => {
    const fallback = systemRoots()
    expect(systemRoots({ file: files.path('missing.pem') })).toEqual(fallback)
    await files.writeAtomically(files.path('empty.pem'), Buffer.from('nothing'))
    expect(systemRoots({ file: files.path('empty.pem') })).toEqual(fallback)
    expect(fallback.length === 1 || fallback.length === rootCertificates.length).toBe(true)
  })

  it('come from the files of SSL_CERT_DIR as well', async () => {
    await files.makeDirectory(files.path('certs'), 0o700)
    await files.writeAtomically(files.path('certs/a.pem'), Buffer.from(PEM))
    await files.writeAtomically(files.path('certs/readme'), Buffer.from('text'))
    const texts = systemRoots({ directory: files.path('certs') })
    expect(texts[0]).toBe(PEM)
    expect(texts).not.toContain('text')
  })

  it('come from the file of NODE_EXTRA_CA_CERTS besides, wherever the others come from', async () => {
    const extra = files.path('extra.pem')
    await files.writeAtomically(extra, Buffer.from(PEM))
    await files.writeAtomically(files.path('roots.pem'), Buffer.from(`roots\n${PEM}`))
    expect(systemRoots({ extra })).toEqual([...systemRoots(), PEM])
    expect(systemRoots({ extra, file: files.path('roots.pem') })).toEqual([`roots\n${PEM}`, PEM])
    expect(systemRoots({ extra: files.path('missing.pem') })).toEqual(systemRoots())
    expect(environmentSource({ NODE_EXTRA_CA_CERTS: extra })).toEqual({ extra })
  })

  it('are named by the environment, an empty variable names none', () => {
    expect(environmentSource({ SSL_CERT_FILE: '/a', SSL_CERT_DIR: '' })).toEqual({ file: '/a' })
    expect(environmentSource({})).toEqual({})
  })
})
