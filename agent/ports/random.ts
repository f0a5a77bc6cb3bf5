/** The source of randomness for jitter and spread. Keys, nonces and ids come from node:crypto and are never seeded. */
export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number
}
