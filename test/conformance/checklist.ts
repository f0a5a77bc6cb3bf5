/**
 * What the SPIFFE standards, and clients in the field, expect of the serving side of the Workload API, in our own
 * words. Level M: must, S: should, O: may, Q: in no standard's capital words, but clients rely on it. Sources: WE Workload Endpoint, WA
 * Workload API, ID SPIFFE-ID, X5 X509-SVID, JW JWT-SVID, WIT WIT-SVID, by their clauses; RFCs by their numbers.
 */
export interface Line {
  readonly level: 'M' | 'S' | 'O' | 'Q'
  readonly source: string
  readonly sentence: string
}

const table = <T extends Record<string, readonly [Line['level'], string, string]>>(rows: T) => rows

const ROWS = table({
  // The endpoint: transport, header, reflection
  'EP-01': ['M', 'WE 3', 'the Workload API is served over gRPC'],
  'EP-02': ['S', 'WE 3', 'the endpoint is a Unix socket; TCP, which does not tell who calls, is refused'],
  'EP-03': ['S', 'WE 2', 'the endpoint belongs to one host'],
  'EP-04': ['M', 'WE 3.1, 5', 'neither TLS nor a credential of the client is asked for'],
  'EP-05': ['S', 'WE 5', 'callers are known without their cooperation: what they claim of themselves changes nothing'],
  'EP-06': ['M', 'WE 3', 'the header value is case-sensitive: only `true` will do'],
  'EP-07': ['M', 'WE 6', 'every method refuses a missing, wrong or repeated header before it looks at anything else'],
  'EP-08': ['Q', 'WE 3', 'services beside the Workload API ask for no header'],
  'EP-09': ['M', 'WE 7, WA 2', 'the SpiffeWorkloadAPI service is the standard one; extras are services of their own'],
  'EP-10': ['S', 'WE 7', 'reflection, old and new, tells that the Workload API is there'],
  'EP-11': ['M', 'WA 1', 'the X.509 and the JWT profile are there'],
  'EP-12': ['M', 'WA 1, 7, WE A', 'all of a profile that is not there, and unknown methods, are Unimplemented'],
  // Addresses, as clients give them
  'AD-01': ['M', 'WE 4', 'SPIFFE_ENDPOINT_SOCKET counts where nothing else is configured'],
  'AD-02': ['M', 'WE 4', 'the scheme is unix or tcp; a bare path and any other scheme are refused'],
  'AD-03': ['M', 'WE 4', 'unix takes an absolute path and nothing else'],
  'AD-04': ['M', 'WE 4', 'tcp takes an IP address and a port and nothing else'],
  'AD-05': ['Q', 'WE 4', 'each mistake in an address has a text that says what it is'],
  // Status codes
  'ST-01': ['M', 'WE 6', 'no header, or a wrong one: InvalidArgument'],
  'ST-02': ['S', 'WA 4.5', 'a mandatory field that is empty: InvalidArgument'],
  'ST-03': ['S', 'WA 4.5', 'a malformed SPIFFE ID in a request: InvalidArgument'],
  'ST-04': ['M', 'WE 6', 'starting up, or nothing cached and the server away: Unavailable'],
  'ST-05': ['M', 'WE 6, WA 5.2.1, 6.2.1', 'a caller without an identity: PermissionDenied'],
  'ST-06': ['S', 'WA 6.2.1', 'a SPIFFE ID that the caller is not entitled to: PermissionDenied'],
  'ST-07': ['S', 'WA 5.2.2, 6.2.2', 'a caller who is not entitled to bundles: PermissionDenied'],
  'ST-08': ['M', 'WA 5.2.1', 'a stream from which every SVID is taken away ends with PermissionDenied'],
  'ST-09': ['M', 'WE A, WA 7', 'a method that is not there: Unimplemented'],
  'ST-10': ['Q', 'WA 6.2.3', 'a JWT-SVID that does not validate: InvalidArgument'],
  'ST-11': ['M', 'WA A', 'a client that has cancelled is sent nothing more'],
  // Streams
  'SM-01': ['M', 'WA 4.3', 'the first message comes at once'],
  'SM-02': ['M', 'WA 4.3', 'each message is the whole, never a difference'],
  'SM-03': ['S', 'WA 4.3', 'later messages come when something changes: entries, bundles'],
  'SM-04': ['M', 'WA 4.4', 'what is withdrawn is missing from the next message'],
  'SM-05': ['Q', 'WA 4.2', 'an agent that stops says Unavailable on every stream, so that clients come back'],
  'SM-06': ['M', 'WA A', 'who is no longer entitled gets no further push but the right status'],
  'SM-07': ['M', 'WA 5.2.1', 'of two identities one is deleted: the same stream gets a message with the other'],
  'SM-08': ['Q', 'WA 4.3', 'nothing is sent when nothing has changed'],
  // The X.509 profile
  'X-01': ['M', 'WA 5.2.1', 'a response holds at least one SVID'],
  'X-02': ['M', 'WA 5.2.1', 'SPIFFE ID, certificate, key and bundle are always set'],
  'X-03': ['M', 'WA 5.2.1', 'the chain is concatenated DER, leaf first, without the trust anchor'],
  'X-04': ['M', 'WA 5.2.1', 'the key is unencrypted PKCS#8'],
  'X-05': ['M', 'WA 5.2.1', 'the bundle is concatenated DER of the authorities of the SVID’s own trust domain'],
  'X-06': ['O', 'WA 5.2.1', 'revocation lists, where there are any, are DER'],
  'X-07': ['M', 'WA 5.2.1', 'federated bundles are keyed by the SPIFFE ID of their trust domain, never the own one'],
  'X-08': ['M', 'WA 5.2.1', 'the key is the leaf’s, and the SPIFFE ID is the one in the leaf'],
  'X-09': ['M', 'WA 5.2.1', 'hints that are set differ'],
  'X-10': ['S', 'WA 8', 'a hint has at most 1024 bytes'],
  'X-11': ['Q', 'WA 8', 'the first SVID is the default one: the order stays'],
  'X-12': ['M', 'WA 5.2.2', 'the X.509 bundles hold the own trust domain and are keyed by SPIFFE IDs'],
  'X-13': ['M', 'WA 5.2.2', 'the X.509 bundles hold certificates of authorities and nothing else'],
  // The JWT profile
  'J-01': ['M', 'WA 6.2.1', 'every audience that was asked for is in the token'],
  'J-02': ['M', 'WA 6.2.1', 'without a SPIFFE ID there is a token for every identity, with one only for it'],
  'J-03': ['M', 'WA 6.2.1', 'there is at least one token, SPIFFE ID and token are set, and hints differ'],
  'J-04': ['M', 'WA 6.2.2', 'the JWT bundles hold the own trust domain, as JWKS keyed by SPIFFE IDs'],
  'J-05': ['M', 'WA 6.2.2, JW 6.2', 'the JWT bundles hold keys for JWT-SVIDs and no others'],
  'J-06': ['Q', 'JW 6.1, 6.2', 'every key of the JWT bundles has a `kid` and the use `jwt-svid`'],
  'J-07': [
    'M',
    'WA 6.2.3',
    'a valid token is answered with its SPIFFE ID and claims, `sub`, `aud` and `exp` among them',
  ],
  'J-08': ['M', 'WA 6.3', 'a token of a trust domain without a bundle is not valid, whoever signed it'],
  // JWT-SVIDs, issued and validated
  'JV-01': ['M', 'JW 1, 5.1', 'only compact serialization is accepted'],
  'JV-02': ['M', 'JW 2', 'the header of an issued token holds `alg`, `kid` and `typ` at most'],
  'JV-03': ['M', 'JW 2.1, 4', 'the algorithms are those of the standard; none, HMACs and EdDSA are refused'],
  'JV-04': ['Q', 'JW 2.2', 'a token without a `kid` is accepted'],
  'JV-05': ['M', 'JW 2.3', 'the type, where there is one, is JWT or JOSE'],
  'JV-06': ['M', 'JW 3.1', 'the subject is a SPIFFE ID'],
  'JV-07': ['M', 'JW 3.2', 'the audience is there and holds the verifier’s; one string or a list'],
  'JV-08': ['M', 'JW 3.3, 4', 'the expiry is there and has not passed'],
  'JV-09': ['M', 'JW 6.2', 'the signature is by a key of the subject’s trust domain'],
  'JV-10': ['M', 'RFC 7519 4.1.5', 'a token is not accepted before its time'],
  'JV-11': ['Q', 'WIT 7.1', 'a WIT-SVID is no JWT-SVID'],
  // SPIFFE IDs
  'I-01': ['M', 'ID 2', 'the scheme is spiffe, the trust domain is there, query and fragment are not'],
  'I-02': [
    'M',
    'ID 2.1, 2.3',
    'a trust domain is lower case, without user, port or percent-encoding, at most 255 bytes',
  ],
  'I-03': ['M', 'ID 2.2', 'a path has no empty or relative segment, no trailing slash and no percent-encoding'],
  'I-04': ['M', 'ID 2.3', 'a SPIFFE ID of 2048 bytes is served, a longer one is not accepted'],
  'I-05': ['M', 'ID 2.4', 'paths that differ in case are different; other spellings of the rest are refused'],
  'I-06': ['Q', 'ID 2', 'nothing is normalised'],
  // X509-SVIDs, served and accepted from the server
  'C-01': ['M', 'X5 2, 5.2', 'a leaf has exactly one URI name'],
  'C-02': ['M', 'X5 3.1, 5.2', 'the SPIFFE ID of a leaf has a path'],
  'C-03': ['M', 'X5 3.1, RFC 5280 4.2.1.6', 'the names of a leaf with an empty subject are critical'],
  'C-04': ['M', 'X5 4.1', 'a leaf is no CA, an authority is one'],
  'C-05': ['M', 'X5 4.3', 'the key usage of a leaf is there and critical'],
  'C-06': ['M', 'X5 4.3', 'a leaf may sign and is no issuer; an authority may issue'],
  'C-07': ['S', 'X5 4.4', 'the extended key usage of a leaf has both sides of TLS'],
  'C-08': ['M', 'X5 3.2', 'the SPIFFE ID of an authority, where it has one, has no path'],
  'C-09': ['M', 'X5 4.2', 'name constraints of an authority are honoured'],
  'C-10': ['M', 'X5 5, RFC 5280 6', 'a chain leads to an authority of the bundle, and is valid now'],
})

export type LineId = keyof typeof ROWS

export const CHECKLIST: Readonly<Record<LineId, Line>> = Object.fromEntries(
  Object.entries(ROWS).map(([id, [level, source, sentence]]) => [id, { level, source, sentence }]),
) as Record<LineId, Line>
