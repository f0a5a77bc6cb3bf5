/** The two encodings of the Workload API that an agent serves on one socket. */
export type DialectName = 'spiffe' | 'authsec'
