/** What a figure of the agent should be: rows of the page's table of aims. */
export type Aim = {
  readonly row: string
  readonly case: string
  readonly figure: string
  /** The target that the agent is compared with; without one the figure itself counts. */
  readonly to?: string
  readonly unit?: string
  /** Shown if the aim is missed. */
  readonly missed: string
} & ({ readonly most: number; readonly least?: undefined } | { readonly least: number; readonly most?: undefined })

const SPIRE = 'SPIRE RSA'
const FLOOR = 'floor: grpc-js'
const ONE_LOOK = 'floor: grpc-js, one look'

const CALL =
  'the agent checks the process, decides, applies limits and counts, in interceptors of grpc-js; the floor does none of it'
const TAIL = 'garbage collection in the one thread that answers all calls; SPIRE answers on both cores'
const COLD =
  "grpc-js opens the connection and the agent reads the new process's files on one thread; SPIRE uses both cores"
const DIGEST = 'as without digests'
const JWT =
  'as in warm-8: layers of grpc-js and garbage collection, in one thread; both agents have the token in memory'
const PUSH = 'one thread writes all messages, one after the other'
const WOKEN = 'the 2,000 processes that receive it wake on the same two cores, also with SPIRE (see the case)'

const floors = ([1, 8, 32] as const).flatMap((places): Aim[] => [
  {
    row: `calls on open connections, ${places} at once, ratio to the floor`,
    case: `warm-${places}`,
    figure: 'requests',
    to: FLOOR,
    least: places === 1 ? 0.65 : 0.6,
    missed: CALL,
  },
  {
    row: `calls on open connections, ${places} at once, ratio to the floor with one look`,
    case: `warm-${places}`,
    figure: 'requests',
    to: ONE_LOOK,
    least: 0.75,
    missed: CALL,
  },
  {
    row: `calls on open connections, ${places} at once, p99`,
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
      missed: name === 'entry-1' ? PUSH : WOKEN,
    }),
  ),
)

export const AIMS: readonly Aim[] = [
  ...floors,
  {
    row: 'CPU of 1,000 calls on open connections, 8 at once',
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
    missed: "Node's memory, and its HTTP/2 session for each connection (see the floor)",
  },
  {
    row: 'CPU with 2,000 idle streams',
    case: 'memory',
    figure: 'idle processor',
    unit: '%',
    most: 0.2,
    missed: 'V8 collects garbage for minutes after 2,000 connections were made: 98 % of what the thread does meanwhile',
  },
  {
    row: 'idle resident memory as released',
    case: 'idle',
    figure: 'idle resident',
    unit: 'MB',
    most: 115,
    missed:
      'the floor of that case is Node and grpc-js alone; the rest is the heap of the modules that the agent loads (decision 0027)',
  },
  {
    row: 'start, exec to the first answered call',
    case: 'start',
    figure: 'exec to first answer',
    unit: 'ms',
    most: 400,
    missed:
      'the floor of that case is Node and grpc-js alone; the rest is modules that load before the socket opens (decision 0027)',
  },
  {
    row: 'from registration to the SVID, one call a second',
    case: 'registered',
    figure: 'registered to served',
    unit: 'ms',
    most: 5_000,
    missed: 'early syncs are at least seven seconds apart (decision 0026)',
  },
]
