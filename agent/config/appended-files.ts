import type { Problem } from './problem.js'
import { SETTING_KEYS } from './schema.js'
import type { Understood } from './values.js'

const REMEDY = 'name a file that nothing else is in'

/**
 * What is appended to: a path that is also that of the configuration or of another setting would spoil the other file,
 * and each reload reads the configuration.
 */
export function checkAppendedFiles({ values, sourceOf }: Understood, configuration: string): readonly Problem[] {
  const appended = ['logging.file_path', 'audit.path'] as const
  return appended.flatMap((key) => {
    const path = values[key]
    if (path === null) return []
    const shares = (problem: string): readonly Problem[] => [{ key, source: sourceOf(key), problem, remedy: REMEDY }]
    if (path === configuration) return shares('is the configuration itself')
    const other = SETTING_KEYS.find((one) => one !== key && values[one] === path)
    // Of the two logs the later one is told.
    return other === undefined || other === appended[1] ? [] : shares(`is the file of ${other}`)
  })
}
