/** The address of an object of the Kubernetes API. */
export interface ClusterObject {
  /** `/api/v1/namespaces/authsec/configmaps`: without the name. */
  readonly collection: string
  readonly name: string
  /** `configmaps/spiffe-bundle in the namespace authsec`, for messages. */
  readonly what: string
}

/** Reads and writes objects of Kubernetes. Errors are AgentErrors; a 403 names the missing verb. */
export interface ClusterObjects {
  /** Null if it does not exist. */
  read(request: ClusterObject, signal: AbortSignal): Promise<unknown>
  /** False if another client has created it meanwhile. */
  create(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean>
  /** Replaces the version with the `resourceVersion` that was read. False if it has changed since, or is gone. */
  replace(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean>
  /** Whether the API server serves this resource of the group in this version. */
  serves(group: string, version: string, resource: string, signal: AbortSignal): Promise<boolean>
}
