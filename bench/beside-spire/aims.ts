/** What a figure of ours should be. Data: the page's table of aims is made of it. */
export type Aim = {
  readonly row: string
  readonly case: string
  readonly figure: string
  /** The target that ours is compared with; without one the figure itself counts. */
  readonly to?: string
  readonly unit?: string
  /** Shown where the aim is missed. */
  readonly missed: string
} & ({ readonly most: number; readonly least?: undefined } | { readonly least: number; readonly most?: undefined })

const SPIRE = 'SPIRE RSA'
const FLOOR = 'floor: grpc-js'
const ONE_LOOK = 'floor: grpc-js, one look'

const CALL = 'each call is checked, decided, limited and counted, on interceptors of grpc-js; the floor does none of it'
const TAIL = 'collections of garbage in the one thread that answers everybody; SPIRE answers on both cores'
const COLD =
  "a connection's set-up in grpc-js and the reading of the new process share one thread; SPIRE uses both cores"
const DIGEST = 'as without digests'
const JWT = 'the call itself, as in warm-8; the token comes from memory on both sides'
const PUSH = 'one thread writes all messages one after the other'

const floors = ([1, 8, 32] as const).flatMap((places): Aim[] => [
  {
    row: `warm fetch, ${places} at once, to the floor`,
    case: `warm-${places}`,
    figure: 'requests',
    to: FLOOR,
    least: places === 1 ? 0.65 : 0.6,
    missed: CALL,
  },
  {
    row: `warm fetch, ${places} at once, to the floor with one look`,
    case: `warm-${places}`,
    figure: 'requests',
    to: ONE_LOOK,
    least: 0.75,
    missed: CALL,
  },
  {
    row: `warm fetch, ${places} at once, p99`,
    case: `warm-${places}`,
    figure: 'p99',
    to: SPIRE,
    most: 1,
    missed: TAIL,
  },
])

const cold = ([1, 50, 500] as const).flatMap((processes) =>
  (['cold', 'sha256'] as const).flatMap((kind) =>
    (['p50', 'p99', 'processor'] as const).map(
      (figure): Aim => ({
        row: `${kind === 'cold' ? 'new processes' : 'new processes by digest'}, ${processes} at once, ${figure}`,
        case: `${kind}-${processes}`,
        figure,
        to: SPIRE,
        most: figure === 'p50' ? 1.1 : 1.25,
        missed: kind === 'cold' ? COLD : DIGEST,
      }),
    ),
  ),
)

const pushes = (['entry', 'authority'] as const).flatMap((what) =>
  (['entry-1', 'entry-many'] as const).map(
    (name): Aim => ({
      row: `new ${what} to 2,000 streams of ${name === 'entry-1' ? 'one process' : '2,000 processes'}`,
      case: name,
      figure: `new ${what}, first to last stream`,
      unit: 'ms',
      most: name === 'entry-1' ? 130 : 200,
      missed: PUSH,
    }),
  ),
)

export const AIMS: readonly Aim[] = [
  ...floors,
  {
    row: 'CPU of the agent a 1,000 warm fetches, 8 at once',
    case: 'warm-8',
    figure: 'processor',
    unit: 's',
    most: 0.13,
    missed: CALL,
  },
  ...cold,
  { row: 'JWT-SVID, 8 at once, p99', case: 'jwt-8', figure: 'p99', to: SPIRE, most: 0.8, missed: JWT },
  { row: 'validation, 8 at once, p99', case: 'validate-8', figure: 'p99', to: SPIRE, most: 1, missed: JWT },
  ...pushes,
  {
    row: 'resident memory with 2,000 streams',
    case: 'memory',
    figure: 'resident',
    to: SPIRE,
    most: 1.2,
    missed: "Node's own memory, and an HTTP/2 session of it for each connection (the floor's figure)",
  },
  {
    row: 'CPU of the agent with 2,000 idle streams',
    case: 'memory',
    figure: 'idle processor',
    unit: '%',
    most: 0.2,
    missed: 'reads of entries and bundles, and the timers of metrics',
  },
  {
    row: 'idle resident memory as shipped',
    case: 'idle',
    figure: 'idle resident',
    unit: 'MB',
    most: 115,
    missed:
      'Node and grpc-js alone are the floor of that case; the rest is the heap of what the agent loads (decision 0027)',
  },
  {
    row: 'start, exec to the first answered call',
    case: 'start',
    figure: 'exec to first answer',
    unit: 'ms',
    most: 400,
    missed:
      'Node and grpc-js alone are the floor of that case; the rest is modules that run before the socket (decision 0027)',
  },
  {
    row: 'registered to served, asking each second',
    case: 'registered',
    figure: 'registered to served',
    unit: 'ms',
    most: 5_000,
    missed: 'early syncs keep seven seconds between them (decision 0026)',
  },
]
