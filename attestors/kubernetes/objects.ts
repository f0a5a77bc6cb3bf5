import { AgentError } from '../../agent/errors.js'
import { withDeadline } from '../../agent/lib/deadline.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { ClusterObject, ClusterObjects } from '../../agent/ports/cluster-objects.js'
import type { ApiRequest, KubernetesApi } from './api.js'
import { statusOf } from './api-errors.js'
import { answerWithin } from './deadline.js'

const DEADLINE = answerWithin(10_000)

/** Reads, creates and replaces single objects of the API; never deletes. All failures are `platform.unavailable`. */
export class KubernetesObjects implements ClusterObjects {
  constructor(
    private readonly api: Pick<KubernetesApi, 'ask'>,
    private readonly clock: Pick<Clock, 'after'>,
  ) {}

  /** Null if it does not exist. */
  async read({ collection, name, what }: ClusterObject, signal: AbortSignal): Promise<unknown> {
    try {
      return await this.#ask({ method: 'GET', path: `${collection}/${name}`, needs: `the verb get on ${what}` }, signal)
    } catch (error) {
      if (statusOf(error) === 404) return null
      throw error
    }
  }

  /** False if it already exists. */
  async create({ collection, what }: ClusterObject, object: object, signal: AbortSignal): Promise<boolean> {
    const needs = `the verb create for ${what}`
    return await this.#written({ method: 'POST', path: collection, body: object, needs }, [409], signal)
  }

  /** False if it has changed meanwhile, or is gone. */
  async replace({ collection, name, what }: ClusterObject, object: object, signal: AbortSignal): Promise<boolean> {
    const needs = `the verb update on ${what}`
    return await this.#written(
      { method: 'PUT', path: `${collection}/${name}`, body: object, needs },
      [404, 409],
      signal,
    )
  }

  /** Whether the API serves this resource of the group in this version. */
  async serves(group: string, version: string, resource: string, signal: AbortSignal): Promise<boolean> {
    try {
      const path = `/apis/${group}/${version}`
      const list = await this.#ask({ method: 'GET', path, needs: `the verb get on ${path} (discovery)` }, signal)
      const { resources } = list as { readonly resources?: unknown }
      return Array.isArray(resources) && resources.some((one: { readonly name?: unknown }) => one.name === resource)
    } catch (error) {
      if (statusOf(error) === 404) return false
      throw error
    }
  }

  async #written(request: ApiRequest, conflicts: readonly number[], signal: AbortSignal): Promise<boolean> {
    try {
      await this.#ask(request, signal)
      return true
    } catch (error) {
      if (conflicts.includes(statusOf(error) ?? 0)) return false
      throw error
    }
  }

  async #ask(request: ApiRequest, signal: AbortSignal): Promise<object> {
    const object = await withDeadline(this.clock, DEADLINE, signal, (limited) => this.api.ask(request, limited))
    if (typeof object === 'object' && object !== null) return object
    throw new AgentError('platform.unavailable', `the answer of Kubernetes to ${request.path} is not an object`)
  }
}
