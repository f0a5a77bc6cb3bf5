import type { Secret } from '../crypto/secret.js'

/** The whole configuration, valid by construction (load.ts). Durations in milliseconds. docs/configuration.md has all keys. */
export interface Config {
  readonly agent: {
    readonly tenantId: string
    readonly nodeId: string
    readonly dataDir: string
    readonly socketPath: string
    readonly adminSocketPath: string
    readonly renewalThresholdMs: number
    /** True if the user set the threshold: it may then be below the floor of 35 minutes. */
    readonly renewalThresholdExplicit: boolean
    readonly joinToken: Secret | null
    readonly joinTokenPath: string | null
    /** The configuration file is polled, and reloaded when it has changed. */
    readonly watchConfig: boolean
  }
  readonly icpService: {
    /** Without a trailing slash. */
    readonly address: string
    readonly trustBundlePath: string | null
    readonly csrCommonName: CsrCommonName
    readonly timeoutMs: number
    readonly maxRetries: number
    readonly retryBackoffMs: number
    /** Requests carry `traceparent` if traces are exported. */
    readonly traceparent: boolean
    /** The address of the proxy may hold a password. */
    readonly proxy: { readonly httpsProxy: Secret | null; readonly noProxy: string | null }
  }
  readonly attestation: {
    readonly type: 'auto' | 'kubernetes' | 'docker' | 'unix' | 'join_token'
    readonly kubernetes: {
      readonly tokenPath: string
      readonly clusterName: string
      readonly apiTokenPath: string
      readonly apiCaPath: string
      readonly authsecNamespaces: readonly string[]
      readonly source: 'api' | 'kubelet'
      /** This node's name in Kubernetes (`spec.nodeName`); default: NODE_NAME or the node id. */
      readonly nodeName: string
      readonly containerWaitMs: number
      /** The pod that the agent runs in, by POD_NAMESPACE and POD_NAME; null where one of them is missing. */
      readonly ownPod: { readonly namespace: string; readonly name: string } | null
      /** Without a trailing slash. */
      readonly kubeletAddress: string
      readonly kubeletCaPath: string
    }
    readonly docker: {
      readonly socketPath: string
      readonly authsecLabels: boolean
      readonly imageLabels: 'separate' | 'merged'
    }
    readonly unix: {
      readonly method: 'procfs' | 'systemd'
      readonly forgeable: boolean
      /** Executables larger than this get no `unix:sha256`. */
      readonly maxExecutableBytes: number
    }
  }
  readonly security: {
    readonly cacheEncryptionKey: Secret<Uint8Array> | null
    readonly cacheEncryptionKeyPrevious: Secret<Uint8Array> | null
    readonly cachePath: string
    readonly revokeRemoved: boolean
  }
  readonly workloadApi: {
    /** Limit of identities in one message. */
    readonly maxIdentities: number
    readonly allowUnauthenticatedVerifiers: boolean
    /** How long a first call is held before it is refused. */
    readonly holdMs: number
    readonly limits: ApiLimits
  }
  /** Envoy's Secret Discovery Service and its default names. */
  readonly sds: {
    readonly enabled: boolean
    readonly names: { readonly svid: string; readonly bundle: string; readonly allBundles: string }
    readonly disableSpiffeCertValidation: boolean
  }
  readonly jwt: { readonly validation: 'auto' | 'local' | 'server' }
  readonly sync: { readonly intervalMs: number; readonly maxIntervalMs: number; readonly bundleIntervalMs: number }
  readonly logging: {
    readonly level: 'debug' | 'info' | 'warning' | 'error'
    readonly format: 'json' | 'console'
    readonly filePath: string | null
  }
  readonly audit: {
    /** A file, `stdout` or `/dev/log`; null: off. */
    readonly path: string | null
    readonly failClosed: boolean
  }
  readonly health: {
    readonly enabled: boolean
    readonly port: number
    readonly bindAddress: string
    readonly waitForKubernetes: boolean
    /** `svid`: the agent's own SVID. */
    readonly tls: 'off' | 'svid' | 'files'
    readonly tlsCertPath: string | null
    readonly tlsKeyPath: string | null
  }
  /** Bundles as files. `formats`: pem, jwks, spiffe. */
  readonly outputs: { readonly bundleDir: string | null; readonly formats: readonly string[] }
  readonly metrics: { readonly spiffeIdLabels: boolean; readonly bearerTokenPath: string | null }
}

export type CsrCommonName =
  | { readonly mode: 'auto' }
  | { readonly mode: 'empty' }
  | { readonly mode: 'text'; readonly text: string }

/** Limits of one process, of one container (else one user), and of all callers together. */
export interface ApiLimits {
  readonly connections: number
  readonly connectionsPerSubject: number
  readonly connectionsPerPid: number
  /** Limits of one container, else one user, while others use the socket too. */
  readonly rates: {
    readonly connections: { readonly perSecond: number; readonly burst: number }
    readonly calls: { readonly perSecond: number; readonly burst: number }
  }
  readonly streamsPerConnection: number
  readonly maxMessageBytes: number
  /** A connection on which no call was made for so long is closed. */
  readonly idleConnectionMs: number
  /** A stream whose client does not read for so long is dropped. */
  readonly stalledStreamMs: number
}
