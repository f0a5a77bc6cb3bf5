import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'

/** Files with the trusted certificates of distributions; the first existing one is used. */
const FILES = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Alpine, Arch
  '/etc/pki/tls/certs/ca-bundle.crt', // Fedora, RHEL
  '/etc/ssl/ca-bundle.pem', // SUSE
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', // RHEL 7
  '/etc/ssl/cert.pem', // BSD, minimal images
]

export interface RootsSource {
  /** `SSL_CERT_FILE`: used instead of the distribution's file, unless it holds no certificate. */
  readonly file?: string
  /** `SSL_CERT_DIR`: a directory of PEM files, used besides it. */
  readonly directory?: string
  /** `NODE_EXTRA_CA_CERTS`: used besides all others. Node itself reads it only if no authorities are given. */
  readonly extra?: string
}

/**
 * PEM texts of the authorities that this machine trusts, each with one or more certificates. Node's built-in list is used
 * only if there is no system store at all, so that an authority removed from the store is not trusted.
 */
export function systemRoots(source: RootsSource = {}): readonly string[] {
  const named = [source.file, ...directoryFiles(source.directory)].filter((path) => path !== undefined)
  const texts = named.map(readPem).filter((text) => text !== null)
  if (source.file === undefined || texts.length === 0) texts.push(...firstOf(FILES))
  const extra = source.extra === undefined ? null : readPem(source.extra)
  return [...(texts.length > 0 ? texts : rootCertificates), ...(extra === null ? [] : [extra])]
}

/** The sources that variables of OpenSSL and Node name. */
export function environmentSource(env: Readonly<Record<string, string | undefined>> = process.env): RootsSource {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directory, NODE_EXTRA_CA_CERTS: extra } = env
  return { ...(file ? { file } : {}), ...(directory ? { directory } : {}), ...(extra ? { extra } : {}) }
}

function firstOf(paths: readonly string[]): string[] {
  for (const path of paths) {
    const text = readPem(path)
    if (text !== null) return [text]
  }
  return []
}

/** Null for a file that is missing, unreadable or without a certificate; the agent does not report problems of the store. */
function readPem(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8')
    return text.includes('-----BEGIN CERTIFICATE-----') ? text : null
  } catch {
    return null
  }
}

function directoryFiles(directory: string | undefined): string[] {
  if (directory === undefined) return []
  try {
    return readdirSync(directory).map((name) => join(directory, name))
  } catch {
    return [] // The directory does not exist.
  }
}
