import type { Problem } from './problem.js'
import { SETTING_KEYS } from './schema.js'
import type { Understood } from './values.js'

const REMEDY = 'name a file that nothing else is in'

/**
 * The agent appends to its log files. Such a path must not be that of the configuration, which each reload reads, or of
 * another setting.
 */
export function checkAppendedFiles({ values, sourceOf }: Understood, configuration: string): readonly Problem[] {
  const appended = ['logging.file_path', 'audit.path'] as const
  return appended.flatMap((key) => {
    const path = values[key]
    if (path === null) return []
    const shares = (problem: string): readonly Problem[] => [{ key, source: sourceOf(key), problem, remedy: REMEDY }]
    if (path === configuration) return shares('is the configuration itself')
    const other = SETTING_KEYS.find((one) => one !== key && values[one] === path)
    // If both logs have the same path, only one of the two is reported.
    return other === undefined || other === appended[1] ? [] : shares(`is the file of ${other}`)
  })
}
