/**
 * Places in a source file, counted from 1, as messages and attachments name them.
 *
 *     const y = dot(x, w, "embed")        the call → { file: "model.ts", line: 3, column: 11, length: 18, text: "const y = …" }
 *
 * The text is the first line of the node with each tab as one space, so that a caret under it stands where the column says; a
 * node of several lines is marked to the end of its first.
 */
import type { ts } from "ts-morph"
import type { ScalarPlace, SourceSpan } from "../../dsl/attach.js"

/** [line, column, length] of a range of characters. */
export function placeOfRange(source: ts.SourceFile, start: number, end: number): ScalarPlace {
  const { line, character } = source.getLineAndCharacterOfPosition(start)
  const rest = lineEnd(source, line) - start
  return [line + 1, character + 1, Math.max(1, Math.min(end - start, rest))]
}

/** [line, column, length] of a node, without the comments before it. */
export function placeOf(node: ts.Node): ScalarPlace {
  return placeOfRange(node.getSourceFile(), node.getStart(), node.end)
}

/** The same with the line's text; `file` is the name that messages print. */
export function spanOfRange(source: ts.SourceFile, file: string, start: number, end: number): SourceSpan {
  const [line, column, length] = placeOfRange(source, start, end)
  return { file, line, column, length, text: lineText(source, line - 1) }
}

export function spanOf(node: ts.Node, file: string): SourceSpan {
  return spanOfRange(node.getSourceFile(), file, node.getStart(), node.end)
}

function lineText(source: ts.SourceFile, line: number): string {
  return source.text.slice(source.getLineStarts()[line], lineEnd(source, line)).replaceAll("\t", " ")
}

/** Where the characters of a line end. Looks at no others: a line may be a whole program. */
function lineEnd(source: ts.SourceFile, line: number): number {
  const { text } = source
  const starts = source.getLineStarts()
  let end = starts[line + 1] ?? text.length
  while (end > starts[line]! && "\r\n\u2028\u2029".includes(text[end - 1]!)) end--
  return end
}
