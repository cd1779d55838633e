/**
 * What somebody meant who mistyped a name.
 *
 *     nearest("benhc", ["bench", "check"])   →   "bench"
 */

/** The name that a word differs from by at most two letters, of short names by one; undefined where there is none. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const near = names.map((name) => ({ name, distance: edits(word.toLowerCase(), name) }))
  const [best] = near.sort((a, b) => a.distance - b.distance)
  return best !== undefined && best.distance <= (best.name.length <= 4 ? 1 : 2) ? best.name : undefined
}

/** Letters to insert, remove, replace or exchange with their neighbour (Damerau 1964, optimal alignment). */
function edits(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
