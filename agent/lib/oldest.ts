/** Deletes the oldest items until at most `most` remain. */
export function dropOldest<K>(remembered: Map<K, unknown> | Set<K>, most: number): void {
  for (const key of remembered.keys()) {
    if (remembered.size <= most) return
    remembered.delete(key)
  }
}

/** Sets the value and moves its key to the end; deletes the oldest items beyond `most`. */
export function putLast<K, V>(remembered: Map<K, V>, key: K, value: V, most: number): void {
  remembered.delete(key)
  remembered.set(key, value)
  dropOldest(remembered, most)
}
