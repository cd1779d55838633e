/**
 * Text by insertion: nothing of the author's file is reprinted or moved to another line.
 *
 *     map(x => x, t)  +  [(4, "__scalar("), (10, ", {…})")]   →   map(__scalar(x => x, {…}), t)
 *
 * Insertions hold no line break, so every line keeps its number by design. Columns do move; the source map undoes that: it has
 * one segment at each word of the source, which the bundler composes with its own map (it takes a segment as it stands and adds
 * no offset, so the words in between need their own).
 */

/** `statement` marks a whole statement: at one position it goes before the expressions that begin there. */
export interface Insertion {
  readonly position: number
  readonly text: string
  readonly statement?: boolean
}

export interface InsertedText {
  readonly text: string
  /** A source map, version 3, as JSON. */
  readonly map: string
}

/**
 * Puts `insertions` into `source`, in the order in which they are given where positions are equal, and `trailer` on a line of its
 * own after the end. `name` is what the source map calls the file.
 */
export function insert(source: string, insertions: readonly Insertion[], trailer: string, name: string): InsertedText {
  const sorted = [...insertions].sort((a, b) => a.position - b.position || rank(a) - rank(b))
  let text = ""
  let from = 0
  for (const { position, text: added } of sorted) {
    text += source.slice(from, position) + added
    from = position
  }
  text += source.slice(from) + (trailer === "" ? "" : `\n${trailer}\n`)
  const map = { version: 3, sources: [name], sourcesContent: [source], names: [], mappings: mappings(source, sorted) }
  return { text, map: JSON.stringify(map) }
}

function rank(insertion: Insertion): number {
  return insertion.statement ? 0 : 1
}

/** The mappings of a source map: for each line, for each word, where it stands now and where it stood. */
function mappings(source: string, sorted: readonly Insertion[]): string {
  const lines: string[] = []
  let next = 0
  let lineStart = 0
  let previousLine = 0
  let previousColumn = 0
  source.split("\n").forEach((line, number) => {
    const segments: string[] = []
    let shift = 0
    let previousShifted = 0
    const segment = (shifted: number, column: number) => {
      segments.push(
        [shifted - previousShifted, 0, number - previousLine, column - previousColumn].map(variableLength).join(""),
      )
      previousShifted = shifted
      previousLine = number
      previousColumn = column
    }
    for (const { index } of line.matchAll(/[\w$]+|[^\s\w$]/g)) {
      const before = shift
      while (next < sorted.length && sorted[next]!.position <= lineStart + index) shift += sorted[next++]!.text.length
      if (shift > before) segment(index + before, index)
      segment(index + shift, index)
    }
    while (next < sorted.length && sorted[next]!.position <= lineStart + line.length) next++
    lines.push(segments.join(","))
    lineStart += line.length + 1
  })
  return lines.join(";")
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/** A signed number as a source map writes it: base 64, five bits a digit, the sign in the lowest bit. */
function variableLength(value: number): string {
  let rest = value < 0 ? -value * 2 + 1 : value * 2
  let text = ""
  do {
    text += digits[(rest & 31) | (rest > 31 ? 32 : 0)]
    rest >>>= 5
  } while (rest > 0)
  return text
}
