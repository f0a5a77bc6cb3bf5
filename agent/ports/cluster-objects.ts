/** Which object of the Kubernetes API. */
export interface ClusterObject {
  /** `/api/v1/namespaces/authsec/configmaps`: without the name. */
  readonly collection: string
  readonly name: string
  /** `configmaps/spiffe-bundle in the namespace authsec`, for messages. */
  readonly what: string
}

/** Objects of Kubernetes. What fails is an AgentError; a 403 names the verb that is missing. */
export interface ClusterObjects {
  /** Null where there is none. */
  read(request: ClusterObject, signal: AbortSignal): Promise<unknown>
  /** False where somebody else has made it meanwhile. */
  create(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean>
  /** With the `resourceVersion` that was read. False where it has changed since, or is gone. */
  replace(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean>
  /** Whether the group is served in this version, with this resource. */
  serves(group: string, version: string, resource: string, signal: AbortSignal): Promise<boolean>
}
