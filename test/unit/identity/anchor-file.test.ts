import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { anchorFileTrouble } from '../../../agent/identity/anchor-file.js'
import { TestCa } from '../../fakes/ca.js'
import { TemporaryFiles } from '../../fakes/files.js'

const TIMES = { notBefore: Date.parse('2026-01-01T00:00:00Z'), notAfter: Date.parse('2036-01-01T00:00:00Z') }

let ca: TestCa
let files: TemporaryFiles
beforeAll(async () => {
  ca = await TestCa.create('Root', TIMES)
  files = await TemporaryFiles.create()
  writeFileSync(files.path('ca.pem'), ca.pem)
})
afterAll(() => files[Symbol.asyncDispose]())

const openssl = (args: string) => execFileSync('openssl', args.split(' '))
const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64')

describe('a file of certificates', () => {
  it('of PEM is taken, whatever stands around', () => {
    expect(anchorFileTrouble(`# ours\n${ca.pem}`, 'F')).toBeNull()
  })

  it.each<[string, () => string | Buffer, RegExp]>([
    ['TRUSTED CERTIFICATE', () => openssl(`x509 -trustout -in ${files.path('ca.pem')}`), /^holds TRUSTED CERTIFICATE/],
    ['PKCS7', () => openssl(`crl2pkcs7 -nocrl -certfile ${files.path('ca.pem')}`), /^holds PKCS7/],
    ['CMS', () => relabelled('CMS'), /^holds CMS/],
    [
      'PKCS7 in DER',
      () => openssl(`crl2pkcs7 -nocrl -certfile ${files.path('ca.pem')} -outform DER`),
      /^is PKCS7, in DER/,
    ],
    ['DER', () => Buffer.from(ca.der), /^is DER, not PEM/],
    ['an old label', () => ca.pem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE'), /^holds X509 CERTIFICATE/],
    ['base64 of PEM', () => base64(ca.pem), /base64-encoded a second time/],
    ['base64 of DER', () => base64(ca.der), /without the lines BEGIN and END/],
    ['UTF-16', () => Buffer.from(`\ufeff${ca.pem}`, 'utf16le'), /^is UTF-16/],
  ])('%s is named, and the command that is said makes it one that is taken', (name, make, problem) => {
    const [from, to] = [files.path(`${name} in`), files.path(`out${name.replaceAll(' ', '')}`)]
    writeFileSync(from, make())
    const trouble = anchorFileTrouble(readFileSync(from, 'latin1'), from)
    expect(trouble?.problem).toMatch(problem)
    const command = (trouble?.remedy ?? '').split('; where')[0]?.replace('NEW', to) ?? ''
    execFileSync('/bin/sh', ['-c', command], { stdio: 'pipe' })
    expect(anchorFileTrouble(readFileSync(to, 'utf8'), to)).toBeNull()
    // What read it as UTF-8 says the same.
    expect(anchorFileTrouble(readFileSync(from, 'utf8'), from)?.problem).toMatch(problem)
  })

  it.each<[string, RegExp]>([
    ['', /^is empty/],
    [' \n', /^is empty/],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', /^holds a private key/],
    ['-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n', /^holds a certificate request/],
    ['<!DOCTYPE html>', /^holds a web page/],
    ['{"keys":[]}', /^holds JSON/],
    ['/etc/ssl/ca.pem', /^holds no certificate/],
  ])('%j is told for what it is', (text, problem) => {
    expect(anchorFileTrouble(text, 'F')?.problem).toMatch(problem)
    expect(anchorFileTrouble(text, 'F')?.problem).not.toContain('DER')
  })

  it('whose ends of lines are written out says so', () => {
    expect(anchorFileTrouble(ca.pem.replaceAll('\n', '\\n'), 'F')?.problem).toMatch(/the two characters \\n/)
  })

  it('all of several TRUSTED CERTIFICATEs are taken by the longer command', () => {
    const [from, to] = [files.path('several'), files.path('several-out')]
    const one = openssl(`x509 -trustout -in ${files.path('ca.pem')}`).toString()
    writeFileSync(from, one + one)
    const command = anchorFileTrouble(one, from)?.remedy.split('several: ')[1]?.replace('NEW', to) ?? ''
    execFileSync('/bin/sh', ['-c', command], { stdio: 'pipe' })
    expect(readFileSync(to, 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })
})

function relabelled(label: string): string {
  return openssl(`crl2pkcs7 -nocrl -certfile ${files.path('ca.pem')}`)
    .toString()
    .replaceAll('PKCS7', label)
}
