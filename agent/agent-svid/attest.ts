import type { KeyObject } from 'node:crypto'
import { parseCertificate } from '../crypto/certificate.js'
import { createCsr } from '../crypto/csr.js'
import type { KeySource } from '../crypto/keys.js'
import { Secret } from '../crypto/secret.js'
import { AgentError, isError, isServerError } from '../errors.js'
import type { WithCommonName } from '../icp/common-name.js'
import type { AttestedNode, ControlPlane, IssuedCertificate, NodeEvidence, ServerSkew } from '../icp/control-plane.js'
import { certifiedKey } from '../identity/certified-key.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { type AgentSvid, type UnverifiedAgentSvid, validAt, verifyAgentSvid } from './agent-svid.js'
import { isFresh } from './certificates.js'
import { collectEvidence, type EvidenceOptions } from './evidence.js'
import type { AgentSvidFile } from './file.js'
import { lockout, tokenUntouched } from './lockout.js'
import type { Answer, Pending, SentToken } from './record.js'

export interface StepsOptions extends AttestationExchange {
  readonly file: AgentSvidFile
  readonly keys: KeySource
  readonly evidence: EvidenceOptions
  readonly random: Random
  readonly skew: ServerSkew
}

/** How an agent SVID was obtained. */
export type Way = 'attest' | 'renew'

export interface Earned {
  readonly identity: AgentSvid
  readonly way: Way
}

interface AnsweredAttempt extends Pending {
  readonly answer: Answer
  readonly way: Way
}

/**
 * Attestation and renewal of the agent SVID, each of which ends with the SVID on disk. The process may die at any await:
 * the key and the digest of the join token are on disk before the request is sent, the answer before any other request,
 * and one write replaces the old SVID and ends the attempt. If no join token is involved and the disk fails, the steps
 * continue in memory, because a full disk must not prevent a renewal.
 */
export class AgentSvidSteps {
  /** An answer that is not in use yet; also on disk, unless the disk failed. */
  #held: AnsweredAttempt | null = null
  #tokenSent: string | null = null

  constructor(private readonly options: StepsOptions) {}

  /** True while an answer is not completed: any other request before that would waste its join token. */
  get unfinished(): boolean {
    return this.#held !== null || this.options.file.pending?.answer != null
  }

  /** Digest of the join token of the last attestation, whatever its result. */
  get tokenSent(): string | null {
    return this.#tokenSent
  }

  /**
   * Throws `agent.locked_out`, `agent.token_consumed`, `icp.*` (`icp.agent_inactive` also without a request), `svid.*`,
   * `platform.unavailable`, `file.*`.
   */
  async attest(signal: AbortSignal): Promise<Earned> {
    const { file, clock } = this.options
    this.#tokenSent = null
    const { evidence, tokenDigest } = await collectEvidence(this.options.evidence, signal)
    this.#tokenSent = tokenDigest
    // The token file may have changed since the step was decided: a revoked agent still needs a fresh token.
    if (file.certificates.inactive && !isFresh(file.certificates, tokenDigest)) {
      throw new AgentError('icp.agent_inactive', 'the node does not attest without a join token that was never used')
    }
    const before = file.pending?.token ?? null
    const earlier = before && before.digest === tokenDigest ? before : null
    const token = earlier ?? (tokenDigest === null ? before : { digest: tokenDigest, at: clock.now() })
    const pending = await this.#prepare('attest', token, signal)
    let answered: Answered
    try {
      answered = await attestNode(this.options, { evidence, key: pending.key }, signal)
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      if (token !== before && tokenUntouched(error)) await this.#forgetToken({ ...pending, token: before })
      if (error.code !== 'icp.unauthorized') throw error
      const usedDigest = file.identity?.tokenDigest ?? null
      throw lockout({ error, tokenDigest, earlier, usedDigest, remedy: this.options.evidence.joinTokens.remedy })
    }
    this.#held = { ...pending, ...answered, way: 'attest' }
    return await this.complete(signal)
  }

  /** Throws `icp.*`, `svid.*`, `file.*`; the present SVID then stays in use. */
  async renew(identity: AgentSvid, signal: AbortSignal): Promise<Earned> {
    const pending = await this.#prepare('renew', this.options.file.pending?.token ?? null, signal)
    const answered = await renewNode(this.options, { identity, key: pending.key }, signal)
    this.#held = { ...pending, ...answered, way: 'renew' }
    return await this.complete(signal)
  }

  /**
   * Verifies the held answer and puts its SVID into use. A wrong answer is dropped; one that cannot be verified yet (its
   * issuer is not available, the disk fails) is kept if a join token was spent on it. Throws as above.
   */
  async complete(signal: AbortSignal): Promise<Earned> {
    const { file, clock } = this.options
    const held = this.#held ?? heldOnDisk(file.pending)
    if (!held) throw new TypeError('no answer waits to be completed')
    this.#held = held
    let authorities: readonly Uint8Array[]
    try {
      authorities = await this.#authorities(held, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof AgentError && !this.#mayPass(held, error)) await this.#drop(held, signal)
      throw error
    }
    let identity: AgentSvid
    try {
      identity = verifyAgentSvid(this.#claimed(held, authorities), clock.now())
    } catch (error) {
      if (this.#mayPass(held, error)) await this.#keepOnDisk(held)
      else await this.#drop(held, signal)
      throw error
    }
    await (canBeHadAgain(held) ? file.adopt(identity) : file.save(identity))
    this.#held = null
    return { identity, way: held.way }
  }

  /** Reuses the key of an attempt that failed: it was never in use. */
  async #prepare(way: Way, token: SentToken | null, signal: AbortSignal): Promise<Pending> {
    const { file, keys, clock } = this.options
    const { key, since } = file.pending ?? { key: new Secret(await keys.take(signal)), since: clock.now() }
    const pending: Pending = { key, since, token, answer: null }
    await this.#remember(way, pending)
    return pending
  }

  /** Requires the disk only if a join token is involved; otherwise memory is enough. Throws `file.*`. */
  async #remember(way: Way, pending: Pending): Promise<void> {
    const { file } = this.options
    await (canBeHadAgain({ ...pending, way }) ? file.adoptPending(pending) : file.savePending(pending))
  }

  async #authorities(held: AnsweredAttempt, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    if (held.answer.authorities.length > 0) return held.answer.authorities
    await this.#keepOnDisk(held)
    try {
      return await this.options.control.bundle(signal)
    } catch (cause) {
      if (!(cause instanceof AgentError)) throw cause
      const known = this.options.file.identity?.authorities ?? []
      if (known.length > 0) return known.map((authority) => authority.der)
      throw new AgentError(
        'svid.issuer_unknown',
        "the server sent no authority with the agent's certificate, and /bundle does not answer with one; the agent keeps asking",
        { cause, details: isServerError(cause) ? cause.details : {} },
      )
    }
  }

  #claimed({ answer, key, token }: AnsweredAttempt, authorities: readonly Uint8Array[]): UnverifiedAgentSvid {
    const { spiffeId, random, file } = this.options
    const tokenDigest = token?.digest ?? file.identity?.tokenDigest ?? null
    return { ...answer, spiffeId, key, tokenDigest, authorities, spread: random.fraction() }
  }

  /**
   * Whether to keep an answer after this error. An answer that cost a join token is kept while its certificate may be
   * valid: until the disk works, until its issuer is known or, if no other SVID is valid, until a wrong clock is set. Any
   * other answer can be requested again.
   */
  #mayPass(held: AnsweredAttempt, error: unknown): boolean {
    const { file, clock, skew } = this.options
    const now = clock.now()
    const life = lifeOf(held.answer)
    if (!(error instanceof AgentError) || canBeHadAgain(held) || !life) return false
    // It has expired only if it has by both clocks, ours and the server's: either may be wrong.
    if (Math.min(now, now + (skew() ?? 0)) >= life.notAfter) return false
    if (error.code.startsWith('file.')) return true
    if (error.code === 'svid.issuer_unknown') return held.answer.authorities.length === 0
    const idle = file.identity === null || !validAt(file.identity, now)
    return (
      idle &&
      isError(error, 'svid.invalid') &&
      error.details.check === 'time' &&
      (life.notBefore > now || life.notAfter <= now)
    )
  }

  async #keepOnDisk(held: AnsweredAttempt): Promise<void> {
    const { way, ...pending } = held
    if (way === 'attest' && this.options.file.pending?.answer !== held.answer) await this.#remember(way, pending)
  }

  /** Keeps the mark of the spent token. The key is not reused, because a wrong certificate contains it. */
  async #drop(held: AnsweredAttempt, signal: AbortSignal): Promise<void> {
    const { keys, clock } = this.options
    this.#held = null
    const key: KeyObject = await keys.take(signal)
    const next: Pending = { key: new Secret(key), since: clock.now(), token: held.token, answer: null }
    await this.#remember(held.way, next)
  }

  /** If the write fails, the mark stays, and a later message only says that the token may be used up. */
  async #forgetToken(pending: Pending): Promise<void> {
    try {
      await this.options.file.savePending(pending)
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
    }
  }
}

/** True if no join token was spent: then the answer may be lost with the process while the disk is full. */
function canBeHadAgain({ way, token }: { readonly way: Way; readonly token: SentToken | null }): boolean {
  return way === 'renew' || token === null
}

function heldOnDisk(pending: Pending | null): AnsweredAttempt | null {
  return pending?.answer ? { ...pending, answer: pending.answer, way: 'attest' } : null
}

/** Null if the chain has no readable certificate. */
function lifeOf({ chain: [leaf] }: Answer): { readonly notBefore: number; readonly notAfter: number } | null {
  try {
    return leaf ? parseCertificate(leaf) : null
  } catch {
    return null
  }
}

interface AttestationExchange {
  readonly control: Pick<ControlPlane, 'attestNode' | 'renewAgent' | 'bundle'>
  readonly clock: Pick<Clock, 'now'>
  readonly spiffeId: SpiffeId
  /** Which common names the role that signs agents' certificates accepts. */
  readonly withCommonName: WithCommonName
}

/** An answer and the key that its certificate is for. */
interface Answered {
  readonly answer: Answer
  readonly key: Secret<KeyObject>
}

/** Node attestation: evidence and a CSR with the agent's SPIFFE ID as its one URI. Throws `icp.*`. */
async function attestNode(
  exchange: AttestationExchange,
  { evidence, key }: { readonly evidence: NodeEvidence; readonly key: Secret<KeyObject> },
  signal: AbortSignal,
): Promise<Answered> {
  const attested = await exchange.withCommonName(
    async (commonName) => {
      const csrPem = await csr(exchange, key, commonName)
      return await exchange.control.attestNode({ evidence, csrPem }, signal)
    },
    { joinToken: evidence.joinToken !== undefined },
  )
  return answered(exchange, attested, key, attested)
}

/** Renewal under the present SVID, which the control plane presents. Throws `icp.*`. */
async function renewNode(
  exchange: AttestationExchange,
  { identity, key }: { readonly identity: AgentSvid; readonly key: Secret<KeyObject> },
  signal: AbortSignal,
): Promise<Answered> {
  const issued = await exchange.withCommonName(async (commonName) => {
    const csrPem = await csr(exchange, key, commonName)
    return await exchange.control.renewAgent({ agentId: identity.agentId, csrPem }, signal)
  })
  return answered(exchange, issued, key, identity)
}

function csr({ spiffeId }: AttestationExchange, key: Secret<KeyObject>, commonName: string): Promise<string> {
  return createCsr({ key: key.reveal(), uri: spiffeId.uri, commonName })
}

function answered(
  { clock }: AttestationExchange,
  issued: IssuedCertificate,
  key: Secret<KeyObject>,
  known: Pick<AttestedNode, 'agentId' | 'workspace'>,
): Answered {
  return {
    answer: {
      agentId: known.agentId,
      named: issued.spiffeId,
      workspace: known.workspace,
      receivedAt: clock.now(),
      chain: issued.chain,
      authorities: issued.bundle,
    },
    key: certifiedKey(issued.chain, key, issued.serverKey),
  }
}
