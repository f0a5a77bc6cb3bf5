export interface EntryIndex {
  readonly size: number
}
