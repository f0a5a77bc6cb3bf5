import * as z from 'zod'
import { AgentError } from '../../agent/errors.js'

export type Labels = ReadonlyMap<string, string>

/** The used part of `GET /containers/ID/json` (Docker Engine API 1.24 and later, and podman's). */
export interface Inspected {
  /** 64 lower-case hex digits. */
  readonly id: string
  /** Without the leading slash of the engine's answer. */
  readonly name: string
  /** The name that the container was created with: with a tag, a digest, neither, or an id. */
  readonly imageName: string
  /** 64 hex digits; null if the engine shows none. */
  readonly imageId: string | null
  /** Includes the labels of the image, unless the container overrides them. */
  readonly labels: Labels
  /** The running platform of a multi-platform image, as the engine's JSON; null for an image of one platform. */
  readonly imagePlatform: string | null
  /** `ended`: it does not change until the container is started again. */
  readonly state: 'starting' | 'running' | 'ended'
  /** The pid of the container's first process as the engine sees it; 0: none. */
  readonly pid: number
  readonly startedAt: string
}

const ID = /^[0-9a-f]{64}$/
const ENDED = new Set(['exited', 'dead', 'removing', 'stopped', 'stopping'])

const labels = z.record(z.string(), z.string()).nullish()
const image = z.object({ Config: z.object({ Labels: labels }).nullish() })
const answer = z.object({
  Id: z.string().regex(ID),
  Name: z.string(),
  Image: z.string().optional(),
  ImageManifestDescriptor: z.object({ platform: z.record(z.string(), z.unknown()).nullish() }).nullish(),
  Config: z.object({ Image: z.string(), Labels: labels }),
  State: z.object({
    Running: z.boolean(),
    Paused: z.boolean().optional(),
    Pid: z.number().int().nonnegative(),
    Status: z.string().optional(),
    StartedAt: z.string().optional(),
  }),
})

/** Throws `platform.unavailable` if the text is not such an answer. */
export function parseInspected(body: string): Inspected {
  const { Id, Name, Image, ImageManifestDescriptor, Config, State } = parse(answer, body, 'a container')
  const platform = ImageManifestDescriptor?.platform
  const digest = Image?.replace(/^sha256:/, '') ?? ''
  return {
    id: Id,
    name: Name.replace(/^\//, ''),
    imageName: Config.Image,
    imageId: ID.test(digest) ? digest : null,
    labels: new Map(Object.entries(Config.Labels ?? {})),
    imagePlatform: platform ? JSON.stringify(platform) : null,
    state: stateOf(State),
    pid: State.Pid,
    startedAt: State.StartedAt ?? '',
  }
}

/** The labels in an answer to `GET /images/ID/json`. Throws `platform.unavailable` if the text is not such an answer. */
export function parseImageLabels(body: string): Labels {
  return new Map(Object.entries(parse(image, body, 'an image').Config?.Labels ?? {}))
}

/** A paused container is running; a restarting one has no process for a moment. */
function stateOf({ Running, Paused, Pid, Status }: z.infer<typeof answer>['State']): Inspected['state'] {
  if ((Running || Paused) && Pid > 0) return 'running'
  return !Running && Status !== undefined && ENDED.has(Status) ? 'ended' : 'starting'
}

function parse<T extends z.ZodType>(form: T, body: string, what: string): z.infer<T> {
  try {
    return form.parse(JSON.parse(body))
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof z.ZodError)) throw cause
    const where = cause instanceof z.ZodError ? ` (${cause.issues[0]?.path.join('.')})` : ''
    throw new AgentError('platform.unavailable', `the container engine does not describe ${what} as expected${where}`)
  }
}
