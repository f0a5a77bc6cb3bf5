/** The lists of the page that have pages and filters. */
export const LISTS = ['workloads', 'entries', 'denials', 'changes'] as const
export type ListName = (typeof LISTS)[number]

/** Filter and page of a list. */
export interface ListView {
  /** Words that a row must have, in any of its texts. */
  readonly filter: string
  /** Only rows of this state; empty: all. */
  readonly state: string
  /** From 1. */
  readonly page: number
}

export type PageView = Readonly<Record<ListName, ListView>>

const MAX_FILTER = 200
const NOTHING: ListView = { filter: '', state: '', page: 1 }

/** Parses `?workloads=web&workloads.state=waiting&workloads.page=2`. Unreadable parts are ignored. */
export function viewOf(query: URLSearchParams): PageView {
  const one = (name: ListName): ListView => {
    const page = query.get(`${name}.page`) ?? ''
    return {
      filter: (query.get(name) ?? '').slice(0, MAX_FILTER).trim(),
      state: (query.get(`${name}.state`) ?? '').slice(0, MAX_FILTER),
      page: /^[1-9]\d{0,5}$/.test(page) ? Number(page) : 1,
    }
  }
  return { workloads: one('workloads'), entries: one('entries'), denials: one('denials'), changes: one('changes') }
}

/** The query of the view with one list changed; begins with `?`. */
export function queryOf(view: PageView, name: ListName, change: Partial<ListView>): string {
  const query = new URLSearchParams()
  for (const list of LISTS) {
    const { filter, state, page } = { ...NOTHING, ...view[list], ...(list === name ? change : {}) }
    if (filter !== '') query.set(list, filter)
    if (state !== '') query.set(`${list}.state`, state)
    if (page > 1) query.set(`${list}.page`, String(page))
  }
  return `?${query}`
}

/** Rows on one page of a list. */
export const PAGE_ROWS = 25

export interface ShownRows<R> {
  readonly rows: readonly R[]
  /** From 1; the last page if a later one was requested. */
  readonly page: number
  readonly pages: number
  readonly matching: number
  readonly total: number
}

/** The rows of a page. Every word of the filter must be in the row's `texts`, in any case. */
export function shownRows<R>(
  all: readonly R[],
  view: ListView,
  texts: (row: R) => readonly (string | number | null)[],
  state: (row: R) => string,
): ShownRows<R> {
  const words = view.filter.toLowerCase().split(/\s+/).filter(Boolean)
  const fits = (row: R) => {
    if (view.state !== '' && state(row) !== view.state) return false
    if (words.length === 0) return true
    const text = texts(row).join('\n').toLowerCase()
    return words.every((word) => text.includes(word))
  }
  const matching = view.state === '' && words.length === 0 ? all : all.filter(fits)
  const pages = Math.max(1, Math.ceil(matching.length / PAGE_ROWS))
  const page = Math.min(view.page, pages)
  const rows = matching.slice((page - 1) * PAGE_ROWS, page * PAGE_ROWS)
  return { rows, page, pages, matching: matching.length, total: all.length }
}
