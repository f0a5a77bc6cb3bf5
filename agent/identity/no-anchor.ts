/** The content of a file without a PEM certificate, as the predicate of a sentence about the file, and the remedy. */
export interface NoAnchor {
  readonly problem: string
  readonly remedy: string
}

/** A command that converts the file, given its name quoted for a shell; it writes NEW. */
type Remedy = (file: string) => string

const EXPORT: Remedy = () => 'put the PEM certificate of the authority there (-----BEGIN CERTIFICATE-----)'
const fromPkcs7 =
  (form: string): Remedy =>
  (file) =>
    `openssl pkcs7 ${form}-print_certs -in ${file} -out NEW`

/** By the label of its first PEM block. */
const LABELS: Readonly<Record<string, readonly [problem: string, remedy: Remedy]>> = {
  // This converts all certificates; `openssl x509` would convert only the first one.
  'TRUSTED CERTIFICATE': [
    'holds TRUSTED CERTIFICATE, the form of OpenSSL alone',
    (file) =>
      `openssl x509 -in ${file} -out NEW; where it holds several: openssl crl2pkcs7 -nocrl -certfile ${file} | openssl pkcs7 -print_certs -out NEW`,
  ],
  'X509 CERTIFICATE': ['holds X509 CERTIFICATE, an old name', (file) => `openssl x509 -in ${file} -out NEW`],
  PKCS7: ['holds PKCS7', fromPkcs7('')],
  'PKCS #7 SIGNED DATA': ['holds PKCS7', fromPkcs7('')],
  CMS: [
    'holds CMS',
    (file) =>
      `openssl cms -cmsout -in ${file} -inform PEM -outform DER | openssl pkcs7 -inform DER -print_certs -out NEW`,
  ],
  'CERTIFICATE REQUEST': ['holds a certificate request and no certificate', EXPORT],
  'NEW CERTIFICATE REQUEST': ['holds a certificate request and no certificate', EXPORT],
  'X509 CRL': ['holds a list of revoked certificates', EXPORT],
}

/** DER with these bytes among the first: the version of PKCS12, the object identifier of signed data. */
function derWith(bytes: string, within: number): { test(text: string): boolean } {
  return { test: (text) => /^0[\x80-\uffff]/.test(text) && text.slice(0, within).includes(bytes) }
}

/** By the beginning of the file; a byte that is not UTF-8 may have become U+FFFD. */
const BEGINNINGS: readonly (readonly [{ test(text: string): boolean }, string, Remedy])[] = [
  [/^\s*$/, 'is empty', () => 'check whether the program that writes it still runs'],
  [
    /^(?:\xff\xfe|\xfe\xff|\ufffd\ufffd\S\0|\ufffd\ufffd\0)/,
    'is UTF-16 text',
    (file) => `iconv -f UTF-16 -t UTF-8 ${file} >NEW`,
  ],
  [/^(?:\xfe\xed){2}/, 'is a Java key store', (file) => `keytool -list -rfc -keystore ${file} >NEW`],
  [derWith('\x02\x01\x03', 9), 'is PKCS12, in DER', (file) => `openssl pkcs12 -in ${file} -cacerts -nokeys -out NEW`],
  [derWith('\r\x01\x07\x02', 20), 'is PKCS7, in DER', fromPkcs7('-inform DER ')],
  [/^0[\x80-\uffff]/, 'is DER, not PEM', (file) => `openssl x509 -inform DER -in ${file} -out NEW`],
  [/^\s*LS0tLS1CRUdJTi/, 'is PEM that was base64-encoded a second time', (file) => `base64 -d ${file} >NEW`],
  [
    /^\s*MI[A-Za-z0-9+/=\s]+$/,
    'is base64 without the lines BEGIN and END',
    (file) => `base64 -d ${file} | openssl x509 -inform DER -out NEW`,
  ],
  [/^\s*</, 'holds a web page or XML', EXPORT],
  [/^\s*[{[]/, 'holds JSON', EXPORT],
]

/** Describes a text without a PEM certificate, with the remedy for the file at this path. */
export function noAnchor(text: string, path: string): NoAnchor {
  const file = shellWord(path)
  const label = /-----BEGIN ([A-Z0-9 #]{1,40})-----/.exec(text)?.[1]
  if (label?.endsWith('PRIVATE KEY')) return { problem: 'holds a private key', remedy: EXPORT(file) }
  const [problem, remedy] = (label !== undefined && Object.hasOwn(LABELS, label) && LABELS[label]) || byBeginning(text)
  return { problem, remedy: remedy(file) }
}

function byBeginning(text: string): readonly [string, Remedy] {
  const found = BEGINNINGS.find(([beginning]) => beginning.test(text))
  return found ? [found[1], found[2]] : ['holds no certificate', EXPORT]
}

function shellWord(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
